import ctypes

import numpy as np
import pytest
from numpy.typing import NDArray

from efcompile.kernels.emit import Emitter
from efcompile.kernels.reduce import add, larger
from efcompile.kernels.softmax_group import Rows, across_rows, group_floats, softmax_rows
from efcompile.tvm_api import build_object
from tests.kernels.harness import TARGETS, _function

LANES = [target.lanes for target in TARGETS]


def run(e: Emitter, *arrays: NDArray[np.float32]) -> None:
    function = _function(build_object([e.finish("kernel_under_test")], TARGETS[0]))
    function(*(ctypes.c_void_p(a.ctypes.data) for a in arrays))


def softmax(
    x: NDArray[np.float32], columns: int, lanes: int, apart: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The exponentials, rows `apart` elements further than they need be, and the inverses."""
    rows, pitch = x.shape
    out = np.full((rows, pitch + apart), -7, np.float32)
    inverses = np.full(rows, -7, np.float32)
    scratch = np.zeros(group_floats(lanes), np.float32)
    e = Emitter()
    source, target, inverse, group = (e.pointer(name) for name in "abcd")
    softmax_rows(
        e, Rows(source, pitch), Rows(target, pitch + apart), inverse, rows, columns, lanes, group
    )
    run(e, x, out, inverses, scratch)
    assert (out[:, pitch:] == -7).all()
    return out[:, :pitch], inverses


@pytest.mark.parametrize("lanes", [4, *LANES])
@pytest.mark.parametrize("rows", [1, 2, 8, 15])
@pytest.mark.parametrize("columns", [1, 13, 49, 112])
def test_rows_are_softmaxed(rows: int, columns: int, lanes: int) -> None:
    pitch = -(-columns // lanes) * lanes
    x = np.random.default_rng(0).normal(0, 9, (rows, pitch)).astype(np.float32)
    x[:, columns:] = np.nan  # not looked at
    weights, inverses = softmax(x, columns, lanes, apart=5)
    exact = np.exp((x - x[:, :columns].max(1, keepdims=True)).astype(np.float64))
    np.testing.assert_allclose(weights[:, :columns], exact[:, :columns], rtol=2e-6, atol=1e-37)
    np.testing.assert_allclose(inverses, 1 / exact[:, :columns].sum(1), rtol=1e-6)
    assert (weights[:, columns:] == 0).all()


def test_special_values_stay_in_their_rows() -> None:
    lanes = LANES[0]
    x = np.zeros((8, 3 * lanes), np.float32)
    x[1, lanes + 2], x[2, 5], x[3], x[4, 1:] = np.nan, np.inf, -np.inf, -np.inf
    weights, inverses = softmax(x, 3 * lanes, lanes)
    bad = np.isnan(weights * inverses[:, None]).all(1)
    assert bad.tolist() == [False, True, True, True, False, False, False, False]
    assert weights[4, 0] == 1 and inverses[4] == 1 and (weights[4, 1:] == 0).all()


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_lanes_of_several_vectors_together(lanes: int, count: int) -> None:
    if count > lanes:
        return
    x = np.random.default_rng(1).integers(-50, 50, (count, lanes)).astype(np.float32)
    for combine, exact in ((add, x.sum(1)), (larger, x.max(1))):
        out = np.zeros(count, np.float32)
        e = Emitter()
        source, target = e.pointer("x"), e.pointer("out")
        vectors = [e.let(e.load(source, row * lanes, lanes)) for row in range(count)]
        e.store(target, 0, across_rows(e, vectors, lanes, combine), count)
        run(e, x, out)
        assert (out == exact).all()
