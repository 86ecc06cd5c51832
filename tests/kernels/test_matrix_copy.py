import ctypes

import numpy as np
import pytest

from efcompile.kernels.emit import Emitter
from efcompile.kernels.matrix_copy import copy_matrix
from efcompile.tvm_api import build_object
from tests.kernels.harness import TARGETS, _function


@pytest.mark.parametrize(
    ("rows", "columns", "strides"),
    [
        (5, 37, (40, 1)),
        (16, 49, (1, 20)),
        (33, 21, (1, 33)),
        (3, 70, (1, 3)),
        (1, 19, (1, 7)),
        (19, 1, (1, 30)),
        (7, 11, (2, 20)),
    ],
)
def test_copies_and_pads_with_zeros(rows: int, columns: int, strides: tuple[int, int]) -> None:
    data = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    steps = (strides[0] * 4, strides[1] * 4)
    wanted = 2 * np.lib.stride_tricks.as_strided(data, (rows, columns), steps)
    pitch = columns + 5
    for target in TARGETS:
        e = Emitter()
        source, out = e.pointer("source"), e.pointer("out")
        copy_matrix(
            e, source, strides, out, pitch, (rows, columns), target.lanes, lambda v, n: v + v
        )
        function = _function(build_object([e.finish("kernel_under_test")], target))
        got = np.full((rows + 1, pitch), np.nan, np.float32)
        function(*(ctypes.c_void_p(a.ctypes.data) for a in (data, got)))
        np.testing.assert_array_equal(got[:rows, :columns], wanted)
        assert (got[:rows, columns:] == 0).all()
        assert np.isnan(got[rows]).all(), "wrote past the last row"
