from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from efcompile.bundle.sample import NAME, dump, read, relative_error


def _bundle(folder: Path) -> Any:
    manifest = SimpleNamespace(inputs=(None,), outputs=(None, None))
    return SimpleNamespace(manifest=manifest, file=lambda name: folder / name)


def test_reads_what_it_wrote(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    outputs = [x.T, x * 2]
    (tmp_path / NAME).write_bytes(dump([x], outputs))
    inputs, wanted = read(_bundle(tmp_path))
    np.testing.assert_array_equal(inputs[0], x)
    for got, value in zip(wanted, outputs, strict=True):
        np.testing.assert_array_equal(got, value)


def test_error_is_relative_to_each_outputs_scale() -> None:
    one, two = np.array([100.0, 0.0]), np.array([0.01])
    assert relative_error([one, two], [one, two]) == 0.0
    assert relative_error([one + 1, two], [one, two]) == pytest.approx(0.01)
    assert relative_error([one, two * 1.5], [one, two]) == pytest.approx(0.5)


def test_nan_counts_only_where_both_have_it() -> None:
    clean, nan = np.array([1.0, 2.0]), np.array([1.0, np.nan])
    assert relative_error([nan], [nan]) == 0.0
    assert relative_error([clean], [nan]) == float("inf")
    assert relative_error([nan], [clean]) == float("inf")


def test_infinities_must_agree() -> None:
    infinite = np.array([1.0, np.inf])
    assert relative_error([infinite], [infinite]) == 0.0
    assert relative_error([np.array([1.0, 5.0])], [infinite]) == float("inf")
