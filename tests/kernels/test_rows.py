from typing import Any

import pytest
import torch

from efcompile.kernels.emit import Emitter, int32
from efcompile.kernels.kernel import Built, Kernel, OpCall
from efcompile.kernels.register_tile import Tile, choose_tile, pack_panels
from efcompile.kernels.rows import PaddedRow, copy_padded, gemm_rows
from efcompile.kernels.segment import Segment
from efcompile.kernels.span import Span
from efcompile.kernels.tile import store_epilogue
from efcompile.targets.target import Target
from tests.kernels.harness import HOST, assert_close, op_call, reference, run_built


@pytest.mark.parametrize(
    ("width", "padding", "used", "row"),
    [
        (5, 1, 7, PaddedRow(2, 10, 2)),
        (5, 1, 6, PaddedRow(2, 10, 0)),
        (5, 1, 4, PaddedRow(2, 6, 0)),
        (5, 9, 3, PaddedRow(6, 0, 0)),
        (5, 0, 5, PaddedRow(0, 10, 0)),
    ],
)
def test_a_padded_row_has_the_pixels_used(
    width: int, padding: int, used: int, row: PaddedRow
) -> None:
    assert PaddedRow.around(width, padding, used, 2) == row
    assert row.pitch == 2 * used


def _kernel(op: str, build: Any, pack: Any) -> Kernel:
    """A kernel around the helper under test; the shape is the call itself."""
    return Kernel(op, op, lambda call: call, lambda shape: None, lambda s, t: None, pack, build)


@pytest.mark.parametrize("channels", [3, 20, 130])
def test_rows_are_copied_between_zeros(channels: int) -> None:
    """Two zero rows above, one below, one zero pixel left, three right: torch's `pad`."""

    def build(symbol: str, call: OpCall, target: Target, knobs: Any) -> Built:
        e = Emitter()
        x, out = e.pointer("x"), e.pointer("out")
        e.pointer("scratch")
        begin, end = e.integer("begin"), e.integer("end")
        row = PaddedRow(channels, 5 * channels, 3 * channels)
        rows, first = end - begin, begin - int32(2)
        target_rows = out.at(begin * row.pitch)
        copy_padded(e, row, x, row.copied, 4, first, rows, target_rows, target.lanes)
        return Built(e.finish(symbol), 0, 4 + 3)

    args: dict[str, Any] = {
        "x": torch.randn(1, 4, 5, channels),
        "pads": [0, 0, 1, 3, 2, 1],
        "value": 0.0,
    }
    kernel = _kernel("pad", build, lambda call, shape, knobs: ["x"])
    got = run_built(kernel, op_call("pad", **args), args, pieces=3)
    assert (got == reference("pad", **args).numpy()).all()


@pytest.mark.parametrize("columns", [16, 70])
def test_products_over_rows(columns: int) -> None:
    rows, width, depth = 4, 9, 7
    tile: Tile = choose_tile(width, columns, HOST)

    def build(symbol: str, call: OpCall, target: Target, knobs: Any) -> Built:
        e = Emitter()
        x, weight, out = e.pointer("x"), e.pointer("weight"), e.pointer("out")
        e.pointer("scratch")
        begin, end = e.integer("begin"), e.integer("end")
        gemm_rows(
            e,
            tile,
            columns,
            width,
            end - begin,
            Span.whole(columns, tile.panel),
            lambda y: [Segment(x.at((begin + y) * (width * depth)), depth, depth)],
            weight,
            None,
            lambda y: store_epilogue(
                out.at((begin + y) * (width * columns)), columns, "relu", None
            ),
            None,
        )
        return Built(e.finish(symbol), 0, rows)

    args: dict[str, Any] = {
        "x": torch.randn(rows, width, depth),
        "weight": torch.randn(columns, depth),
        "bias": None,
        "residual": None,
        "act": "relu",
    }
    panels = pack_panels(args["weight"].numpy(), tile.panel)
    kernel = _kernel("linear", build, lambda call, shape, knobs: ["x", panels])
    got = run_built(kernel, op_call("linear", **args), args, pieces=3)
    assert_close(got, reference("linear", **args).numpy())
