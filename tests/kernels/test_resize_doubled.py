from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from efcompile.kernels.resize import KERNEL, tables
from efcompile.kernels.resize_doubled import doubles
from efcompile.targets.resolve import resolve
from efcompile.targets.target import Target
from tests.kernels.harness import assert_close, on_every_target, op_call, reference, run_built


@pytest.mark.parametrize(
    "size_in, size, scales, corners, wanted",
    [
        (7, 14, [], False, True),
        (2, 4, [2.0, 2.0], False, True),
        (7, 14, [], True, False),
        (7, 14, [2.05, 2.05], False, False),
        (7, 15, [2.2, 2.2], False, False),
        (1, 2, [], False, False),
    ],
)
def test_what_doubles(
    size_in: int, size: int, scales: list[float], corners: bool, wanted: bool
) -> None:
    args: dict[str, Any] = {"mode": "bilinear", "align_corners": corners, "scales": scales}
    args |= {"act": "none", "size": [size, size]}
    call = op_call("resize", x=torch.zeros(1, size_in, size_in, 3), **args)
    (first, second), weight = tables(call)[2:]
    assert doubles(first, second, weight, size_in) == wanted
    assert KERNEL.shape_of(call).doubled == wanted


@on_every_target
def test_rows_of_any_kind(target: Target) -> None:
    x = torch.randn(2, 3, 5, 21)
    args = {"x": x, "mode": "bilinear", "align_corners": False, "act": "gelu"}
    args |= {"size": [7, 10], "scales": []}
    got = run_built(KERNEL, op_call("resize", (), **args), args, target)
    assert_close(got, reference("resize", **args).numpy())


def test_infinity_beside_the_first_column_is_eager_s() -> None:
    x = torch.zeros(1, 2, 2, 1)
    x[0, 0, 1, 0] = float("inf")
    args = {"x": x, "mode": "bilinear", "align_corners": False, "act": "none"}
    args |= {"size": [4, 4], "scales": []}
    got = run_built(KERNEL, op_call("resize", (), **args), args)
    np.testing.assert_array_equal(got, reference("resize", **args).numpy())


def test_a_result_that_outgrows_the_cache_is_asked_for_ahead() -> None:
    args: dict[str, Any] = {"x": torch.randn(2, 3, 5, 21), "mode": "bilinear", "act": "gelu"}
    args |= {"align_corners": False, "size": [6, 10], "scales": []}
    call, roomy = op_call("resize", (), **args), resolve("host", cpu="x86-64-v3")
    target = replace(roomy, l2_bytes=1 << 10)
    shape = KERNEL.shape_of(call)
    texts = [str(KERNEL.build("k", shape, t, KERNEL.default_knobs(shape, t)).func)
             for t in (target, roomy)]  # fmt: skip
    assert ["prefetch" in text for text in texts] == [True, False]
    assert_close(run_built(KERNEL, call, args, target), reference("resize", **args).numpy())
