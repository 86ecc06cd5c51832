"""The FFN with a depthwise middle, in steps of output rows, its hidden rows in a ring.

A step computes the hidden rows that its output rows need and no earlier step left behind
(first product and activation), into a ring of rows in scratch; runs the depthwise stencil over
the ring into a buffer of middle rows; and multiplies those into the result.  Hidden rows never
leave the cache.  A step is a task; a range of tasks fills the ring anew at its first step and
at every new image.  Hidden rows outside the image are zero, and the stencil leaves them out.

On x86 a step rather goes panel by panel, see `ffn_panels`, and where the target allows it, and it
is faster, both products are `strassen`'s, see `ffn_strassen`.
"""

from dataclasses import dataclass

from efcompile.kernels import ffn_panels, ffn_strassen
from efcompile.kernels.activations import CHEAP
from efcompile.kernels.emit import Emitter, Expr, View, int32, select
from efcompile.kernels.ffn_shape import Shape, plain, shape_of
from efcompile.kernels.ffn_space import (
    Knobs,
    choices,
    default_knobs,
    legal,
    new_rows,
    ring_rows,
    scratch_floats,
)
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.register_tile import pack_panels
from efcompile.kernels.rows import gemm_rows, larger, smaller
from efcompile.kernels.segment import Segment
from efcompile.kernels.side_by_side import SideBySide, lay_side_by_side, own_base
from efcompile.kernels.span import Span
from efcompile.kernels.stencil import pack_taps, stencil_row
from efcompile.kernels.step import Steps, project
from efcompile.kernels.tile import Sink, store_epilogue
from efcompile.targets.target import Target


@dataclass(frozen=True)
class _Operands:
    """The kernel's pointers, in the order of `build`."""

    x: View
    weight1: View
    bias1: View | None
    taps: View
    taps_bias: View | None
    weight2: View
    bias2: View | None
    residual: View | None
    out: View


@dataclass(frozen=True)
class _Step:
    """One step of the code: output rows ``first .. first + rows`` of `image`."""

    shape: Shape
    knobs: Knobs
    operands: _Operands
    image: Expr
    first: Expr
    rows: Expr

    def slot(self, row: Expr) -> Expr:
        """Where in the ring the hidden `row` (inside the image) starts."""
        shape = self.shape
        return row % ring_rows(shape, self.knobs.rows) * (shape.across.size * shape.c)


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """x, the constants in the op's order (panels, taps as [kh, kw, C]), residual."""
    if knobs.strassen:
        return ffn_strassen.pack(call, shape, knobs.up, knobs.down)
    if knobs.by_panels:
        return ffn_panels.pack(call, knobs.up, knobs.down)
    up = pack_panels(call.value("weight1"), knobs.up.panel)
    taps = pack_taps(call.value("depthwise"))
    down = pack_panels(call.value("weight2"), knobs.down.panel)
    first, middle = call.present("bias1"), call.present("depthwise_bias")
    return ["x", up, *first, taps, *middle, down, *call.present("bias2", "residual")]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, weight1, [bias1], depthwise, [its bias], weight2, [bias2], [residual], out."""
    if knobs.by_panels:
        how = ffn_strassen.build if knobs.strassen else ffn_panels.build
        return how(
            symbol, shape, target, knobs.rows, knobs.up, knobs.down, knobs.pixels, knobs.prefetch
        )
    e = Emitter()
    operands = _Operands(
        e.pointer("x"),
        e.pointer("weight1"),
        e.optional("bias1", shape.bias1),
        e.pointer("taps"),
        e.optional("taps_bias", shape.depthwise_bias),
        e.pointer("weight2"),
        e.optional("bias2", shape.bias2),
        e.optional("residual", shape.residual),
        e.pointer("out"),
    )
    scratch = e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")

    stage_floats = max(knobs.up.rows * knobs.up.panel, knobs.pixels * target.lanes)
    ring_floats, middle_floats = scratch_floats(shape, knobs.rows)
    ring, middle = scratch.at(stage_floats), scratch.at(stage_floats + ring_floats)
    copied, copied_floats = middle, 0
    if knobs.side_by_side:
        stage_floats, copied_floats = 0, ring_floats // shape.c * shape.k
        ring, middle = scratch, own_base(e, begin, scratch, ring_floats)
        copied = own_base(e, begin, scratch, ring_floats + middle_floats)
    steps = Steps(shape.down, shape.across, knobs.rows).count
    with e.loop(end - begin, "task", begin) as task:
        image, step = e.hold(task // steps), e.hold(task % steps)
        first = e.let(step * knobs.rows)
        rows = e.hold(smaller(shape.down.out - first, knobs.rows))
        fresh = (task == begin) | (step == int32(0))
        part = _Step(shape, knobs, operands, image, first, rows)
        _fill_ring(e, part, fresh, ring, scratch, copied)
        _stencil(e, part, target.lanes, ring, middle, scratch)
        _project(e, part, middle)
    floats = stage_floats + ring_floats + middle_floats + copied_floats
    return Built(e.finish(symbol), 4 * floats, shape.batch * steps, chained=True)


def _fill_ring(e: Emitter, step: _Step, fresh: Expr, ring: View, stage: View, copied: View) -> None:
    """Compute the hidden rows under output rows ``first .. first + rows`` that the ring lacks;
    `copied` is scratch for the input rows if they are to lie side by side."""
    shape, knobs, operands = step.shape, step.knobs, step.operands
    axis = shape.down
    top = e.let(step.first * axis.stride - axis.padding)
    left_behind = e.let(top + (axis.kernel - axis.stride))
    low = e.hold(larger(0, select(fresh, top, larger(top, left_behind))))
    high = smaller(axis.size, top + (step.rows - 1) * axis.stride + axis.kernel)
    count = e.hold(larger(0, high - low))
    source_row = shape.across.size * shape.k
    source = operands.x.at(e.let((step.image * axis.size + low) * source_row))
    if knobs.side_by_side:
        tiles = shape.across.size // knobs.up.rows
        every = Span(0, e.hold(count * tiles), False)
        lay_side_by_side(e, source, tiles * knobs.up.rows, shape.k, knobs.up.rows, copied, every)
        source = copied

    def segments(y: Expr) -> list[Segment]:
        row = source.at(e.let(y * source_row))
        return [Segment(row, shape.k, shape.k, side_by_side=knobs.side_by_side)]

    def sink(y: Expr) -> Sink | SideBySide:
        target_row = ring.at(e.hold(step.slot(low + y)))
        if knobs.side_by_side:
            return SideBySide(target_row, shape.c, shape.act1)
        return store_epilogue(target_row, shape.c, shape.act1, None)

    gemm_rows(
        e,
        knobs.up,
        shape.c,
        shape.across.size,
        count,
        Span.whole(shape.c, knobs.up.panel),
        segments,
        operands.weight1,
        operands.bias1,
        sink,
        None if shape.act1 in CHEAP else stage,
        new_rows(shape, knobs.rows) if knobs.prefetch else None,
    )


def _stencil(e: Emitter, step: _Step, lanes: int, ring: View, middle: View, stage: View) -> None:
    """The depthwise convolution and its activation, from the ring to the middle rows."""
    shape, operands = step.shape, step.operands
    axis = shape.down
    with e.loop(step.rows, "y") as y:
        output = e.let(step.first + y)
        top = e.let(output * axis.stride - axis.padding)

        def row_of(ky: Expr, top: Expr = top) -> View:
            return ring.at(e.hold(step.slot(top + ky)))

        result = middle.at(e.let(y * (shape.across.out * shape.c)))
        sink: Sink | SideBySide = store_epilogue(result, shape.c, shape.act2, None)
        if step.knobs.side_by_side:
            sink = SideBySide(result, shape.c, shape.act2)
        stencil_row(
            e,
            shape.across,
            shape.c,
            step.knobs.pixels,
            lanes,
            axis.bounds(e, output),
            row_of,
            operands.taps,
            operands.taps_bias,
            sink,
            shape.act2,
            stage,
            step.knobs.up.rows if step.knobs.side_by_side else None,
        )


def _project(e: Emitter, step: _Step, middle: View) -> None:
    """The second product: middle rows to the result, with bias and residual."""
    shape, operands = step.shape, step.operands
    start = e.let((step.image * shape.down.out + step.first) * (shape.across.out * shape.n))
    project(
        e,
        Steps(shape.down, shape.across, step.knobs.rows),
        step.rows,
        step.knobs.down,
        (shape.c, shape.n),
        middle,
        operands.weight2,
        operands.bias2,
        operands.out.at(start),
        None if operands.residual is None else operands.residual.at(start),
        "none",
        None,
        step.knobs.prefetch,
        step.knobs.side_by_side,
    )


KERNEL = Kernel("ffn", "ffn", shape_of, plain, default_knobs, pack, build, choices, legal)
