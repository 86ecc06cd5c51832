import ctypes

import numpy as np
import pytest

from efcompile.kernels.columns import column_sums
from efcompile.kernels.emit import Emitter
from efcompile.kernels.tile import vector_widths
from efcompile.targets.target import Target
from efcompile.tvm_api import build_object
from tests.kernels.harness import TARGETS, _function


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: str(t.lanes))
@pytest.mark.parametrize(("rows", "columns"), [(1, 5), (7, 3), (49, 128), (1300, 37), (9001, 16)])
def test_sums_of_long_columns_stay_exact(rows: int, columns: int, target: Target) -> None:
    e = Emitter()
    x, out = e.pointer("x"), e.pointer("out")
    widths = vector_widths(columns, target.lanes)
    sums = column_sums(e, rows, widths, lambda r, c, n: e.load(x, r * columns + c, n))
    start = 0
    for lanes, value in zip(widths, sums, strict=True):
        e.store(out, start, value, lanes)
        start += lanes
    function = _function(build_object([e.finish("kernel_under_test")], target))
    data = np.random.default_rng(0).standard_normal((rows, columns)).astype(np.float32) + 100
    got = np.zeros(columns, np.float32)
    function(*(ctypes.c_void_p(a.ctypes.data) for a in (data, got)))
    wanted = data.sum(0, dtype=np.float64)
    assert np.abs(got / wanted - 1).max() < 5e-7
