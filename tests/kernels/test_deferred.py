import ctypes
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from efcompile.kernels.deferred import pays
from efcompile.kernels.emit import Emitter, int32
from efcompile.kernels.register_tile import Tile, pack_panels
from efcompile.kernels.segment import Segment
from efcompile.kernels.span import Span
from efcompile.kernels.tile import gemm, store_epilogue
from efcompile.tvm_api import build_object
from tests.kernels.harness import TARGETS, _function, assert_close

AVX512 = [target for target in TARGETS if target.lanes == 16]
TILE = Tile(rows=5, vectors=2, lanes=16, unroll=4, lane_a=False)
N, K = 70, 24
"""Two panels and a rest."""


def product(
    rows: int, tile: Tile, runs: int, dynamic: bool, part: tuple[int, int, bool] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the kernel and what numpy make of ``relu(x @ w) + 1`` of so many rows, k in `runs`; of a
    `part`, (first, count, tail), in NaN."""
    rng = np.random.default_rng(rows)
    x = rng.standard_normal((rows, K)).astype(np.float32)
    weight = rng.standard_normal((N, K)).astype(np.float32)
    rest = np.ones((rows, N), np.float32)
    e = Emitter()
    a, w, added, out, stage = (e.pointer(name) for name in ("a", "w", "added", "out", "stage"))
    first, count, tail = (e.integer(name) for name in ("first", "count", "tail"))
    span = Span.whole(rows, tile.rows)
    if dynamic:
        span = Span(first, count, tail == int32(1))
    gemm(
        e, tile, N, rows, span, Span.whole(N, tile.panel),
        [Segment(a, K, K // runs, ((runs, K // runs),) if runs > 1 else ())],
        w, None, store_epilogue(out, N, "relu", added), stage,
    )  # fmt: skip
    function = _function(build_object([e.finish("kernel_under_test")], AVX512[0]))
    got = np.full((rows, N), np.nan, np.float32)
    scratch = np.full(tile.rows * tile.panel, np.nan, np.float32)
    arrays = (x, pack_panels(weight, tile.panel), rest, got, scratch)
    values = part or (0, rows // tile.rows, rows % tile.rows != 0)
    numbers = [ctypes.c_int32(int(value)) for value in values]
    function(*(ctypes.c_void_p(array.ctypes.data) for array in arrays), *numbers)
    return got, np.maximum(x @ weight.T, 0) + 1


@pytest.mark.skipif(not AVX512, reason="this machine has no AVX-512")
@pytest.mark.parametrize("rows", [5, 20, 23, 42])
@pytest.mark.parametrize(("unroll", "runs"), [(4, 1), (24, 1), (16, 1), (4, 3), (4, 6)])
@pytest.mark.parametrize("dynamic", [False, True])
def test_every_row_is_finished(rows: int, unroll: int, runs: int, dynamic: bool) -> None:
    got, wanted = product(rows, replace(TILE, unroll=unroll), runs, dynamic)
    assert_close(got, wanted)


@pytest.mark.skipif(not AVX512, reason="this machine has no AVX-512")
@pytest.mark.parametrize("part", [(1, 2, False), (2, 1, True), (0, 0, True), (3, 1, False)])
def test_a_part_finishes_its_rows_alone(part: tuple[int, int, bool]) -> None:
    got, wanted = product(23, TILE, 1, True, part)
    first, count, tail = part
    rows = np.zeros(23, bool)
    rows[first * 5 : (first + count) * 5] = True
    rows[20:] = tail
    assert_close(got[rows], wanted[rows])
    assert np.isnan(got[~rows]).all()


def test_it_pays_where_additions_have_pipes_of_their_own_and_tiles_follow_one_another() -> None:
    wide, narrow = (16, 16), (16, 4)
    assert pays(TILE, wide, Span(0, 8, True))
    assert not pays(TILE, wide, Span(0, 2, True))
    assert not pays(TILE, narrow, Span(0, 8, True))
    assert not pays(replace(TILE, lanes=8), (8, 8), Span(0, 8, True))
