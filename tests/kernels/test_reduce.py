import ctypes

import numpy as np
import pytest

from efcompile.kernels.emit import Emitter
from efcompile.kernels.reduce import add, larger, reduce
from efcompile.targets.target import Target
from efcompile.tvm_api import build_object
from tests.kernels.harness import TARGETS, _function


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: str(t.lanes))
@pytest.mark.parametrize("size", [1, 13, 64, 4096 + 61, 3 * 4096 + 5])
def test_sum_and_maximum(size: int, target: Target) -> None:
    e = Emitter()
    x, out = e.pointer("x"), e.pointer("out")
    lanes = target.lanes
    e.store(out, 0, reduce(e, size, lanes, lambda i, n: e.load(x, i, n), add, 0.0))
    e.store(out, 1, reduce(e, size, lanes, lambda i, n: e.load(x, i, n), larger, -1e30))
    function = _function(build_object([e.finish("kernel_under_test")], target))
    data = np.random.default_rng(0).standard_normal(size).astype(np.float32) + 100
    got = np.zeros(2, np.float32)
    function(*(ctypes.c_void_p(a.ctypes.data) for a in (data, got)))
    assert abs(got[0] / data.sum(dtype=np.float64) - 1) < 5e-7
    assert got[1] == data.max()
