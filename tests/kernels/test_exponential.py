"""The forms of the exponential that other kernels use (`test_activations` covers the rest)."""

import ctypes
from collections.abc import Callable

import numpy as np

from efcompile.kernels.emit import Emitter, Expr
from efcompile.kernels.exponential import negated_exp, weight_exp
from efcompile.tvm_api import build_object
from tests.kernels.harness import HOST, _function


def run(code: Callable[[Emitter, Expr, int], Expr], x: np.ndarray) -> np.ndarray:
    """`code` over all of `x`, a whole number of vectors."""
    e = Emitter()
    source, out = e.pointer("x"), e.pointer("out")
    begin, end = e.integer("begin"), e.integer("end")
    lanes = HOST.lanes
    with e.loop(end - begin, "i", begin) as i:
        value = e.let(e.load(source, i * lanes, lanes))
        e.store(out, i * lanes, code(e, value, lanes), lanes)
    function = _function(build_object([e.finish("kernel_under_test")], HOST))
    got = np.full_like(x, -1)
    pointers = (ctypes.c_void_p(a.ctypes.data) for a in (x, got))
    function(*pointers, ctypes.c_int32(0), ctypes.c_int32(len(x) // lanes))
    return got


def test_bound_and_limits() -> None:
    x = np.linspace(-88, 87.3, 160_000).astype(np.float32)
    x[:7] = [np.nan, np.inf, 100, 1e30, -np.inf, -100, -1e30]
    got = run(negated_exp, x)
    with np.errstate(over="ignore"):
        wanted = np.exp(-x.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(got, wanted, rtol=3.5e-7, atol=1e-38)


def test_weights_of_a_softmax() -> None:
    x = np.linspace(-87.3, 0, 160_000).astype(np.float32)
    x[:4] = [np.nan, -np.inf, -100, -1e30]
    got, exact = run(weight_exp, x), np.exp(x.astype(np.float64))
    assert np.isnan(got[0]) and (got[[1, 3]] == 0).all() and 0 <= got[2] <= 4e-44 and got[-1] == 1
    bound = 3e-7 + 2e-8 * np.abs(x[4:])
    assert (np.abs(got[4:] / exact[4:] - 1) <= bound).all()
