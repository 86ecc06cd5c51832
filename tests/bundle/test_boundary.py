import ctypes

import numpy as np
import pytest
from numpy.typing import NDArray

from efcompile.bundle.boundary import Boundary, point
from efcompile.bundle.library import Library
from efcompile.errors import InputError
from tests.bundle.programs import sample


@pytest.fixture
def boundary(host_library: Library) -> Boundary:
    return Boundary(host_library.bundle.manifest)


def read(address: int | None, array: NDArray[np.float32]) -> NDArray[np.float32]:
    """What lies at `address`, as many elements as `array` has."""
    assert address is not None
    memory = (ctypes.c_float * array.size).from_address(address)
    return np.array(memory, np.float32).reshape(array.shape)


def test_what_fits_is_not_copied_and_what_does_not_is(boundary: Boundary) -> None:
    x = sample()
    assert boundary.fitting([x])[0] is x
    turned = x.transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2)
    ready = boundary.fitting([turned])[0]
    assert ready.flags.c_contiguous and ready is not turned
    np.testing.assert_array_equal(ready, x)


@pytest.mark.parametrize("writable", [True, False])
def test_pointers_lead_to_the_arrays_whether_or_not_they_may_be_written(
    boundary: Boundary, writable: bool
) -> None:
    x = sample()
    x.flags.writeable = writable
    inputs, outputs = boundary.pointers()
    results = boundary.results()
    assert len(inputs) == 1 and len(outputs) == len(results)
    point(inputs, [x])
    np.testing.assert_array_equal(read(inputs[0], x), x)


def test_results_are_new_each_time_and_of_the_manifest_s_shapes(
    boundary: Boundary, host_library: Library
) -> None:
    first, second = boundary.results(), boundary.results()
    wanted = [entry.dims for entry in host_library.bundle.manifest.outputs]
    assert [array.shape for array in first] == wanted
    assert not any(np.shares_memory(a, b) for a, b in zip(first, second, strict=True))


def test_what_does_not_fit_is_told(boundary: Boundary) -> None:
    with pytest.raises(InputError, match="takes 1 inputs, not 2"):
        boundary.fitting([sample(), sample()])
    with pytest.raises(InputError, match=r"must be float32 of shape .*, not float64"):
        boundary.fitting([sample().astype(np.float64)])
    with pytest.raises(InputError, match="compile the model again"):
        boundary.fitting([sample()[..., :-1]])
