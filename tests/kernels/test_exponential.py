"""The forms of the exponential that other kernels use (`test_activations` covers the rest)."""

import ctypes

import numpy as np
import pytest

from efcompile.kernels.emit import Emitter
from efcompile.kernels.exponential import fast_exp
from efcompile.tvm_api import build_object
from tests.kernels.harness import HOST, _function


@pytest.mark.parametrize(("negate", "bounded"), [(False, False), (True, False), (False, True)])
def test_bound_and_limits(negate: bool, bounded: bool) -> None:
    x = np.linspace(-87.3, 0.0 if bounded else 88, 160_000).astype(np.float32)
    x[:4] = [np.nan, -np.inf, -100, -1e30]
    if not bounded:
        x[4:7] = [np.inf, 100, 1e30]
    if negate:
        x = -x
    e = Emitter()
    source, out = e.pointer("x"), e.pointer("out")
    begin, end = e.integer("begin"), e.integer("end")
    lanes = HOST.lanes
    with e.loop(end - begin, "i", begin) as i:
        value = e.let(e.load(source, i * lanes, lanes))
        e.store(out, i * lanes, fast_exp(e, value, lanes, negate, bounded), lanes)
    function = _function(build_object([e.finish("kernel_under_test")], HOST))
    got = np.full_like(x, -1)
    pointers = (ctypes.c_void_p(a.ctypes.data) for a in (x, got))
    function(*pointers, ctypes.c_int32(0), ctypes.c_int32(len(x) // lanes))
    with np.errstate(over="ignore"):
        wanted = np.exp((-x if negate else x).astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(got, wanted, rtol=3.5e-7, atol=1e-38)
