import ctypes

import numpy as np
import pytest

from efcompile.kernels.emit import Emitter
from efcompile.kernels.kernel import Array
from efcompile.kernels.shuffles import interleave, transpose
from efcompile.tvm_api import build_object
from tests.kernels.harness import TARGETS, _function


def run(operation: str, count: int, lanes: int, target_index: int) -> tuple[Array, Array]:
    """Apply it to `count` vectors of distinct lanes: (vectors in, vectors out)."""
    e = Emitter()
    x, out = e.pointer("x"), e.pointer("out")
    vectors = [e.let(e.load(x, r * lanes, lanes)) for r in range(count)]
    moved = transpose(e, vectors) if operation == "transpose" else interleave(e, vectors, lanes)
    for r, vector in enumerate(moved):
        e.store(out, r * lanes, vector, lanes)
    function = _function(build_object([e.finish("kernel_under_test")], TARGETS[target_index]))
    given = np.arange(count * lanes, dtype=np.float32).reshape(count, lanes)
    got = np.zeros_like(given)
    function(ctypes.c_void_p(given.ctypes.data), ctypes.c_void_p(got.ctypes.data))
    return given, got


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_transpose(n: int) -> None:
    for target in range(len(TARGETS)):
        given, got = run("transpose", n, n, target)
        assert (got == given.T).all()


@pytest.mark.parametrize(("count", "lanes"), [(2, 8), (3, 4), (3, 16), (4, 8)])
def test_interleave(count: int, lanes: int) -> None:
    for target in range(len(TARGETS)):
        given, got = run("interleave", count, lanes, target)
        assert (got.ravel() == given.T.ravel()).all()
