"""The FFN with a depthwise middle, in steps of output rows, each panel by panel.

The stencil leaves channels apart.  So for every panel of the first product a step goes down its
output rows: it makes the hidden rows that the next one needs (first product and activation), into
a ring of as many as the stencil is high, and runs the stencil over them.  The ring of a panel is in
L1 meanwhile, where that of all channels would not be; it is in scratch for the panel's next step.
Then the middle rows are multiplied into the result.  Their activation may be late, see
`ffn_late`.

A step is a task; a range of tasks fills the rings anew at its first step and at every new image.
"""

from dataclasses import dataclass, replace

import numpy as np

from efcompile.kernels.activations import CHEAP
from efcompile.kernels.ahead import ask, ask_share
from efcompile.kernels.emit import Emitter, Expr, View, int32, select
from efcompile.kernels.ffn_late import Late, is_late
from efcompile.kernels.ffn_shape import Shape
from efcompile.kernels.kernel import Array, Built, OpCall
from efcompile.kernels.pairs import pack_product, result_rms, store_left_sums
from efcompile.kernels.prefetch import Prefetch
from efcompile.kernels.register_tile import Tile
from efcompile.kernels.rows import larger, smaller
from efcompile.kernels.segment import Segment
from efcompile.kernels.span import Span
from efcompile.kernels.stencil import pack_taps, stencil_row
from efcompile.kernels.step import Steps, project
from efcompile.kernels.tile import gemm, store_epilogue
from efcompile.targets.target import Target


@dataclass(frozen=True)
class Scratch:
    """Floats of scratch: a tile of sums for a heavy activation, the rings, the middle rows, the
    sums of one of them that comes late, and those of `pairs` of the rows of either product."""

    stage: int
    ring: int
    middle: int
    late: int
    pairs: int

    @staticmethod
    def of(shape: Shape, rows: int, up: Tile, down: Tile, pixels: int) -> "Scratch":
        """For steps of `rows` output rows."""
        hidden = min((rows - 1) * shape.down.stride + shape.down.kernel, shape.down.size)
        return Scratch(
            max(up.rows * up.panel, pixels * up.lanes),
            shape.down.kernel * shape.across.size * shape.c,
            rows * shape.across.out * shape.c,
            shape.across.out * up.panel if is_late(shape, up) else 0,
            max(hidden * shape.across.size * up.pairs, rows * shape.across.out * down.pairs),
        )

    @property
    def bytes(self) -> int:
        """All of it."""
        return 4 * (self.stage + self.ring + self.middle + self.late + self.pairs)


def pack(call: OpCall, up: Tile, down: Tile) -> list[str | Array]:
    """x, weight1's panels, bias1, taps as [kh, kw, width] of each panel, their bias, weight2's
    panels, bias2, residual."""
    taps = pack_taps(call.value("depthwise"))
    starts = range(0, taps.shape[-1], up.panel)
    by_panels = np.concatenate([taps[..., c : c + up.panel].ravel() for c in starts])
    weight1, bias1, rms = call.value("weight1"), call.constant("bias1"), call.operand("x").rms
    first = pack_product(weight1, bias1, up, rms)
    rms = result_rms(weight1, bias1, rms)
    rms = result_rms(call.value("depthwise"), call.constant("depthwise_bias"), rms)
    last = pack_product(call.value("weight2"), call.constant("bias2"), down, rms)
    middle = call.present("depthwise_bias")
    return ["x", *first, by_panels, *middle, *last, *call.present("residual")]


@dataclass(frozen=True)
class _Step:
    """Output rows ``first .. first + rows`` of an image, their middle rows, the rows of x that
    the image starts with, the `stage`, whether rings are to be filled anew (`fresh`), where
    sums are that come `late`, and those of pairs of x."""

    shape: Shape
    first: Expr
    rows: Expr
    fresh: Expr
    source: View
    middle: View
    stage: View
    late: View | None
    left_sums: View | None

    @property
    def top(self) -> Expr:
        """The first row of x that the step may read."""
        return larger(0, self.first * self.shape.down.stride - self.shape.down.padding)

    def left_of(self, row: Expr) -> View | None:
        """Where the sums of pairs of a row of x are."""
        if self.left_sums is None:
            return None
        return self.left_sums.at((row - self.top) * self.shape.across.size)

    def source_row(self, row: Expr) -> Segment:
        """A row of x."""
        k = self.shape.k
        return Segment(self.source.at(row * (self.shape.across.size * k)), k, k)


@dataclass(frozen=True)
class _Panel:
    """A panel of the first product, columns ``start .. start + width``, with its constants and
    its `ring`; `number` panels as wide come before it."""

    number: Expr
    start: Expr
    width: int
    span: Span
    weight: View
    bias: View | None
    taps: View
    taps_bias: View | None
    ring: View


def build(
    symbol: str,
    shape: Shape,
    target: Target,
    rows: int,
    up: Tile,
    down: Tile,
    pixels: int,
    prefetch: bool,
) -> Built:
    """Pointers: x, weight1, [bias1], depthwise, [its bias], weight2, [bias2], [residual], out."""
    e = Emitter()
    x, weight1 = e.pointer("x"), e.pointer("weight1")
    bias1 = e.optional("bias1", shape.bias1 or up.pairs)
    taps, taps_bias = e.pointer("taps"), e.optional("taps_bias", shape.depthwise_bias)
    weight2, bias2 = e.pointer("weight2"), e.optional("bias2", shape.bias2 or down.pairs)
    residual = e.optional("residual", shape.residual)
    out, scratch = e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")

    down_axis, across, floats = shape.down, shape.across, Scratch.of(shape, rows, up, down, pixels)
    ring, middle = scratch.at(floats.stage), scratch.at(floats.stage + floats.ring)
    left_sums = middle.at(floats.middle + floats.late) if floats.pairs else None
    steps = Steps(down_axis, across, rows)
    passes = min(rows * down_axis.stride, down_axis.size) * -(-across.size // up.rows)
    ahead = Prefetch.over(passes * up.rows, shape.c, up) if prefetch else None
    taps_size = down_axis.kernel * across.kernel
    with e.loop(end - begin, "task", begin) as task:
        image, index = e.hold(task // steps.count), e.hold(task % steps.count)
        first = e.hold(index * rows)
        step = _Step(
            shape,
            first,
            e.hold(smaller(down_axis.out - first, rows)),
            e.hold(select((task == begin) | (index == int32(0)), int32(1), int32(0))),
            x.at(e.let(image * (down_axis.size * across.size * shape.k))),
            middle,
            scratch,
            middle.at(floats.middle) if floats.late else None,
            left_sums if up.pairs else None,
        )
        _left_sums(e, step, up, bias1)

        def panel_code(
            number: Expr, start: Expr, width: int, span: Span, step: _Step = step
        ) -> None:
            panel = _Panel(
                number, start, width, span, weight1, bias1, taps.at(e.let(start * taps_size)),
                None if taps_bias is None else taps_bias.at(start),
                ring.at(e.let(start * (down_axis.kernel * across.size))),
            )  # fmt: skip
            if prefetch:
                ask(e, bias1, start, width)
                ask(e, panel.taps, 0, width * taps_size)
                ask(e, taps_bias, start, width)
            with e.loop(step.rows, "y") as y:
                if prefetch:
                    second = min(down.panel, shape.n)
                    ask_share(e, weight2, start, width, second, y, rows)
                _fill_ring(e, step, panel, y, up, ahead)
                _stencil(e, step, panel, y, pixels, target.lanes)

        whole, rest = divmod(shape.c, up.panel)
        if whole:
            with e.loop(whole, "panel") as number:
                panel_code(number, e.let(number * up.panel), up.panel, Span(number, 1, False))
            _finish_last(e, step, (whole - 1) * up.panel, up.panel, target.lanes)
        if rest:
            panel_code(0, int32(whole * up.panel), rest, Span(0, 0, True))
            _finish_last(e, step, whole * up.panel, rest, target.lanes)
        start = e.let((image * down_axis.out + first) * (across.out * shape.n))
        project(
            e, steps, step.rows, down, (shape.c, shape.n), middle, weight2, bias2, out.at(start),
            None if residual is None else residual.at(start), "none", None, prefetch,
            left_sums=left_sums if down.pairs else None,
        )  # fmt: skip
    return Built(e.finish(symbol), floats.bytes, shape.batch * steps.count, chained=True)


def _left_sums(e: Emitter, step: _Step, tile: Tile, constants: View | None) -> None:
    """Sums of pairs of all rows of x that the step makes hidden rows of, if it wants them."""
    if step.left_sums is None:
        return
    axis, width = step.shape.down, step.shape.across.size
    top = step.first * axis.stride - axis.padding
    kept = select(step.fresh == int32(1), int32(0), int32(max(0, axis.kernel - axis.stride)))
    low = e.hold(larger(0, top + kept))
    high = smaller(axis.size, top + (step.rows - 1) * axis.stride + axis.kernel)
    with e.loop(e.hold(larger(0, high - low)), "row") as index:
        row = e.hold(low + index)
        store_left_sums(
            e, tile, step.shape.c, width, Span.whole(width, tile.rows), [step.source_row(row)],
            constants, step.left_of(row),
        )  # fmt: skip


def _slot(step: _Step, panel: _Panel, row: Expr) -> Expr:
    """Where in the ring the hidden `row` (inside the image) starts."""
    shape = step.shape
    return row % shape.down.kernel * (shape.across.size * panel.width)


def _fill_ring(
    e: Emitter, step: _Step, panel: _Panel, y: Expr, tile: Tile, ahead: Prefetch | None
) -> None:
    """Compute the hidden rows under output row ``first + y`` that the ring lacks."""
    shape, axis = step.shape, step.shape.down
    width = shape.across.size
    top = e.let((step.first + y) * axis.stride - axis.padding)
    fresh = (step.fresh == int32(1)) & (y == int32(0))
    left_behind = e.let(top + max(0, axis.kernel - axis.stride))
    low = e.hold(larger(0, select(fresh, top, left_behind)))
    high = smaller(axis.size, top + axis.kernel)
    count = e.hold(larger(0, high - low))
    late = _late_before(e, step, panel, y)
    if late is not None:
        with e.when(count == int32(0)):
            late.finish_all(e, tile.lanes)
    with e.loop(count, "new") as new:
        row = e.hold(low + new)
        tiles = -(-width // tile.rows)
        done = None if ahead is None else replace(ahead, done=(y * axis.stride + new) * tiles)
        # The sink is given columns of all panels.
        place = panel.ring.at(e.let(_slot(step, panel, row) - panel.start))
        sink = store_epilogue(place, panel.width, shape.act1, None)
        gemm(
            e,
            tile,
            shape.c,
            width,
            Span.whole(width, tile.rows),
            panel.span,
            [step.source_row(row)],
            panel.weight,
            panel.bias,
            sink if late is None else late.beside(sink, panel.start),
            None if shape.act1 in CHEAP else step.stage,
            prefetch=done,
            left_sums=step.left_of(row),
        )


def _stencil(e: Emitter, step: _Step, panel: _Panel, y: Expr, pixels: int, lanes: int) -> None:
    """The depthwise convolution and its activation, from a ring to a middle row."""
    shape, axis = step.shape, step.shape.down
    output = e.let(step.first + y)
    top = e.let(output * axis.stride - axis.padding)

    def row_of(ky: Expr) -> View:
        return panel.ring.at(e.hold(_slot(step, panel, top + ky)))

    if step.late is None:
        result = step.middle.at(e.let(y * (shape.across.out * shape.c) + panel.start))
        act, sink = shape.act2, store_epilogue(result, shape.c, shape.act2, None)
    else:
        act, sink = "none", store_epilogue(step.late, panel.width, "none", None)
    stencil_row(
        e,
        shape.across,
        panel.width,
        pixels,
        lanes,
        axis.bounds(e, output),
        row_of,
        panel.taps,
        panel.taps_bias,
        sink,
        act,
        step.stage,
    )


def _late(e: Emitter, step: _Step, width: int, y: Expr, start: Expr) -> Late | None:
    """Middle row ``first + y`` of the panel at column `start`, if it comes late."""
    if step.late is None:
        return None
    shape = step.shape
    row = step.middle.at(e.let(y * (shape.across.out * shape.c) + start))
    sink = store_epilogue(row, shape.c, shape.act2, None)
    return Late(step.late, shape.across.out, width, sink)


def _late_before(e: Emitter, step: _Step, panel: _Panel, y: Expr) -> Late | None:
    """The middle row that was made before ``first + y``, in this panel or the one before; of the
    first of all, itself: there is nothing yet that could be spoilt."""
    if step.late is None:
        return None
    start, row = int32(panel.start), larger(0, y - 1)
    if not (isinstance(panel.number, int) and panel.number == 0):
        before = (y == int32(0)) & (panel.number > int32(0))
        start = e.hold(select(before, start - panel.width, start))
        row = select(before, step.rows - 1, row)
    return _late(e, step, panel.width, e.hold(row), start)


def _finish_last(e: Emitter, step: _Step, start: int, width: int, lanes: int) -> None:
    """The last middle row of the panel at column `start`, if it comes late."""
    late = _late(e, step, width, e.let(step.rows - 1), start)
    if late is not None:
        late.finish_all(e, lanes)
