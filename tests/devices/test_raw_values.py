"""The benchmark's files of inputs and outputs."""

from pathlib import Path

import numpy as np
import pytest

from efcompile.bundle.load import Bundle, load_bundle
from efcompile.bundle.write import write_bundle
from efcompile.devices.raw_values import outputs_size, read_outputs, write_inputs
from efcompile.errors import DeviceError, InputError
from tests.bundle.programs import SHAPE, sample, tiny_program


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(
        write_bundle(tiny_program(), tmp_path_factory.mktemp("raw"), parts=["bench"])
    )


def test_inputs_are_their_raw_values(bundle: Bundle, tmp_path: Path) -> None:
    x = sample()
    # Other strides: what counts is the values in the manifest's order.
    write_inputs(tmp_path / "x", bundle.manifest, [np.asfortranarray(x)])
    np.testing.assert_array_equal(np.fromfile(tmp_path / "x", np.float32), x.ravel())
    with pytest.raises(InputError, match="must be float32 of shape"):
        write_inputs(tmp_path / "x", bundle.manifest, [x[..., 1:]])


def test_outputs_are_told_apart(bundle: Bundle, tmp_path: Path) -> None:
    y, z = (np.random.default_rng(i).standard_normal(SHAPE).astype(np.float32) for i in (0, 1))
    (tmp_path / "y").write_bytes(y.tobytes() + z.tobytes())
    assert outputs_size(bundle.manifest) == y.nbytes + z.nbytes
    found = read_outputs(tmp_path / "y", bundle.manifest)
    np.testing.assert_array_equal(found, [y, z])
    found[0][...] = 0  # their own memory, to write into


def test_outputs_of_another_size_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "y").write_bytes(bytes(100))
    size = outputs_size(bundle.manifest)
    with pytest.raises(DeviceError, match=f"are 100 bytes and should be {size}"):
        read_outputs(tmp_path / "y", bundle.manifest)
