import numpy as np
import pytest
import torch

from efcompile.kernels.emit import Emitter
from efcompile.kernels.kernel import Array
from efcompile.kernels.register_tile import choose_tile, pack_panels
from efcompile.kernels.segment import Segment
from efcompile.kernels.side_by_side import SideBySide, fits, lay_side_by_side, pays
from efcompile.kernels.span import Span
from efcompile.kernels.tile import gemm
from efcompile.targets.target import Target
from efcompile.tvm_api import build_object
from tests.kernels.emulated import ARM64
from tests.kernels.harness import assert_close, on_every_target, run_code

TILE_ROWS = 3


def side_by_side(x: Array, tile_rows: int) -> Array:
    """``[tile][depth / 4][row][4]``."""
    tiles = [x[r : r + tile_rows] for r in range(0, len(x), tile_rows)]
    laid = [t.reshape(len(t), -1, 4).transpose(1, 0, 2).ravel() for t in tiles]
    return np.concatenate(laid)


@on_every_target
@pytest.mark.parametrize("depth", [4, 8, 20])
def test_layout(depth: int, target: Target) -> None:
    rows = 11
    x = np.random.default_rng(0).standard_normal((rows, depth)).astype(np.float32)
    e = Emitter()
    source, out, _scratch = e.pointer("x"), e.pointer("out"), e.pointer("scratch")
    e.integer("begin"), e.integer("end")
    lay_side_by_side(e, source, rows, depth, TILE_ROWS, out)
    got = np.full(rows * depth, np.nan, np.float32)
    run_code(build_object([e.finish("kernel_under_test")], target), [x], got, 0, 1, target)
    np.testing.assert_array_equal(got, side_by_side(x, TILE_ROWS))


@pytest.mark.parametrize("act", ["relu", "gelu"])
def test_a_product_of_and_into_rows_side_by_side(act: str) -> None:
    m, n, k = 17, 28, 20
    rng = np.random.default_rng(0)
    x, weight = (rng.standard_normal(size).astype(np.float32) for size in ((m, k), (n, k)))
    tile = choose_tile(m, n, ARM64)
    e = Emitter()
    a, w, out, _scratch = (e.pointer(name) for name in ("a", "w", "out", "scratch"))
    e.integer("begin"), e.integer("end")
    spans = Span.whole(m, tile.rows), Span.whole(n, tile.panel)
    segments = [Segment(a, k, k, side_by_side=True)]
    gemm(e, tile, n, m, *spans, segments, w, None, SideBySide(out, n, act))
    got = np.full(m * n, np.nan, np.float32)
    operands = [side_by_side(x, tile.rows), pack_panels(weight, tile.panel)]
    run_code(build_object([e.finish("kernel_under_test")], ARM64), operands, got, 0, 1, ARM64)
    product = x @ weight.T
    wanted = getattr(torch.nn.functional, act)(torch.from_numpy(product)).numpy()
    assert_close(got, side_by_side(wanted, tile.rows))


def test_only_whole_vectors_fit_and_few_columns_are_not_worth_a_copy() -> None:
    assert fits(48) and not fits(47)
    assert pays(64, 48) and not pays(64, 47) and not pays(16, 48)
