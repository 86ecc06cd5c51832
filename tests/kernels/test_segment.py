import ctypes
from dataclasses import replace

import numpy as np
import pytest
import torch

from efcompile.kernels.emit import Emitter
from efcompile.kernels.register_tile import choose_tile, pack_panels
from efcompile.kernels.segment import Segment
from efcompile.kernels.span import Span
from efcompile.kernels.tile import gemm, store_epilogue
from efcompile.targets.target import Target
from efcompile.tvm_api import build_object
from tests.kernels.harness import TARGETS, _function, assert_close

M, N, ROW = 40, 37, 12
"""A is [M, 3 * ROW]; k takes eight elements of each of its three parts, of two planes."""


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: str(t.lanes))
@pytest.mark.parametrize("skipped", [0, 1, 2])
@pytest.mark.parametrize("planes", [1, 2])
def test_runs_are_left_out_at_run_time(planes: int, skipped: int, target: Target) -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((planes, M, 3, ROW)).astype(np.float32)
    weight = rng.standard_normal((N, planes, 3, 8)).astype(np.float32)
    tile = choose_tile(M, N, target)
    e = Emitter()
    left, panels, out, stage = (e.pointer(name) for name in ("a", "w", "out", "stage"))
    outer = ((planes, M * 3 * ROW),) if planes > 1 else ()
    segment = Segment(left, 3 * ROW, 8, (*outer, (3, ROW)))
    segment = replace(segment, skipped=e.integer("skipped"), most_skipped=2)
    gemm(
        e, tile, N, M, Span.whole(M, tile.rows), Span.whole(N, tile.panel), [segment], panels,
        None, store_epilogue(out, N, "gelu", None), stage,
    )  # fmt: skip
    function = _function(build_object([e.finish("kernel_under_test")], target))
    got = np.full((M, N), np.nan, np.float32)
    scratch = np.empty(tile.rows * tile.panel, np.float32)
    arrays = (a, pack_panels(weight.reshape(N, -1), tile.panel), got, scratch)
    function(*(ctypes.c_void_p(x.ctypes.data) for x in arrays), ctypes.c_int32(skipped))
    total = np.einsum("pmtk,nptk->mn", a[:, :, skipped:, :8], weight[:, :, skipped:])

    assert_close(got, torch.nn.functional.gelu(torch.from_numpy(total)).numpy())


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: str(t.lanes))
@pytest.mark.parametrize("outside", [1, 4, 5])
def test_a_tile_leaves_out_what_is_left_of_its_first_row(outside: int, target: Target) -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((M, 3, ROW)).astype(np.float32)
    weight = rng.standard_normal((N, 3, 10)).astype(np.float32)
    tile = replace(choose_tile(M, N, target), rows=6)
    e = Emitter()
    left, panels, out = (e.pointer(name) for name in ("a", "w", "out"))
    segment = Segment(left, 3 * ROW, 10, ((3, ROW),), outside=outside)
    gemm(
        e, tile, N, M, Span.whole(M, tile.rows), Span.whole(N, tile.panel), [segment], panels,
        None, store_epilogue(out, N, "none", None),
    )  # fmt: skip
    function = _function(build_object([e.finish("kernel_under_test")], target))
    got = np.full((M, N), np.nan, np.float32)
    inside = a[:, :, :10].copy()
    inside[::6, :, :outside] = 0
    # What is left out is not read: the product would not be finite.
    a[::6, :, :outside] = np.nan
    arrays = (a, pack_panels(weight.reshape(N, -1), tile.panel), got)
    function(*(ctypes.c_void_p(x.ctypes.data) for x in arrays))
    assert_close(got, np.einsum("mtk,ntk->mn", inside, weight))


def test_steps_are_those_that_are_made_at_the_least() -> None:
    tile = replace(choose_tile(M, N, TARGETS[0]), unroll=4)
    e = Emitter()
    segment = Segment(e.pointer("a"), 99, 10, ((3, 100), (5, 10)))
    assert segment.total == 150 and segment.steps(tile) == segment.steps_made(tile) == 15 * 2
    fewer = replace(segment, skipped=1, most_skipped=2)
    assert fewer.total == 150
    assert fewer.steps(tile) == 9 * 2 and fewer.steps_made(tile) == 12 * 2
    assert replace(segment, outside=3).steps(tile) == 15
