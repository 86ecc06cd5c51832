"""The FFN with a depthwise middle in seven products for eight: blocks of output rows, both
products by `strassen`.

The stencil leaves channels apart, so a block goes panel by panel of the first product: its hidden
rows (all that the block's output rows need, those shared with the next block made anew), then the
stencil over them, whose sums are finished as they become factors of the second product.  Only a
panel's hidden rows are ever stored.

Where a block's output rows are even in number the stencil makes two at a time, one of each half.
"""

from dataclasses import dataclass

import numpy as np

from efcompile.kernels.ahead import ask, ask_share
from efcompile.kernels.emit import Emitter, Expr, View, float32, int32
from efcompile.kernels.ffn_shape import Shape
from efcompile.kernels.kernel import Array, Built, OpCall
from efcompile.kernels.register_tile import Tile, vector_widths
from efcompile.kernels.rows import larger, smaller
from efcompile.kernels.span import Span
from efcompile.kernels.stencil import pack_taps, stencil_row
from efcompile.kernels.strassen import (
    LEAST_ROWS,
    PRODUCTS,
    Factors,
    Four,
    Sink,
    factors_floats,
    filled,
    finish,
    half,
    multiply,
    pack_factors,
    plain_cycles,
    split,
    store_quarters,
    sums_floats,
)
from efcompile.kernels.tile import store_epilogue
from efcompile.targets.target import Target

LINE = 16
"""Floats that move in a cycle, to or from L2."""

_SPLIT, _JOINED = 11, 18
"""Moves to make factors of four elements, and to make four of the seven products."""


def blocks(shape: Shape, target: Target) -> tuple[int, ...]:
    """Output rows that a block may have: divisors of an image's, as rows of two images must not
    meet in one product; none where this is no choice."""
    down, across = shape.down, shape.across
    widths_even = shape.k % 2 == shape.c % 2 == shape.n % 2 == 0
    if not target.strassen or down.stride != 1 or across.stride != 1 or not widths_even:
        return ()
    return tuple(
        rows
        for rows in range(1, down.out + 1)
        if down.out % rows == 0 and half(rows * across.out) >= LEAST_ROWS
    )


def hidden_rows(shape: Shape, rows: int) -> int:
    """Hidden rows that any block of so many output rows finds all it needs in."""
    axis, most = shape.down, 1
    for first in range(0, axis.out, rows):
        top, bottom = first - axis.padding, first + rows - axis.padding + axis.kernel - 1
        most = max(most, min(axis.size, bottom) - max(0, top))
    return most


@dataclass(frozen=True)
class Scratch:
    """Floats of scratch: the factors of x, of the middle rows, a panel's products, its hidden
    rows, and the stencil's sums of one or of all output rows of a half, twice."""

    x: int
    middle: int
    sums: int
    hidden: int
    stencil: int

    @staticmethod
    def of(shape: Shape, rows: int, up: Tile, down: Tile) -> "Scratch":
        """For blocks of `rows` output rows."""
        source, result = hidden_rows(shape, rows) * shape.across.size, rows * shape.across.out
        wide = min(2 * up.panel, shape.c)
        at_once = 2 if rows % 2 == 0 else rows
        return Scratch(
            factors_floats(source, shape.k),
            factors_floats(result, shape.c),
            max(sums_floats(source, up), sums_floats(result, down)),
            source * wide,
            at_once * shape.across.out * wide,
        )

    @property
    def bytes(self) -> int:
        """All of it."""
        return 4 * (self.x + self.middle + self.sums + self.hidden + self.stencil)


def cycles(shape: Shape, rows: int, up: Tile, down: Tile, target: Target) -> float:
    """An estimate of a block of `rows` output rows, without the stencil and activations."""
    made, result = half(hidden_rows(shape, rows) * shape.across.size), half(rows * shape.across.out)
    k, c, n = shape.k // 2, shape.c // 2, shape.n // 2
    products = plain_cycles(made, filled(c, target.lanes), k, up, target)
    products += plain_cycles(result, filled(n, target.lanes), c, down, target)
    moves = _SPLIT * (made * k + result * c) + _JOINED * (made * c + result * n)
    return PRODUCTS * products + moves / LINE


def pack(call: OpCall, shape: Shape, up: Tile, down: Tile) -> list[str | Array]:
    """x, weight1's factors, bias1, taps and their bias by panels, weight2's factors, bias2,
    residual."""
    first = pack_factors(call.value("weight1"), up)
    taps = _by_panels(pack_taps(call.value("depthwise")), up.panel)
    middle = [_by_panels(call.value("depthwise_bias"), up.panel)] if shape.depthwise_bias else []
    second = pack_factors(call.value("weight2"), down)
    return ["x", first, *call.present("bias1"), taps, *middle, second,
            *call.present("bias2", "residual")]  # fmt: skip


def _by_panels(values: Array, panel: int) -> Array:
    """[..., C] -> flat, of every panel of half of the columns [..., 2 * width]: those of the left
    half and of the right."""
    columns = values.shape[-1] // 2
    left, right = values[..., :columns], values[..., columns:]
    parts = [
        np.concatenate([side[..., start : start + panel] for side in (left, right)], -1).ravel()
        for start in range(0, columns, panel)
    ]
    return np.ascontiguousarray(np.concatenate(parts))


@dataclass(frozen=True)
class _Panel:
    """A panel of the first product: columns ``start .. start + width`` of both halves, made by
    `span`; stored side by side, the left half's first."""

    start: Expr
    width: int
    span: Span

    @property
    def both(self) -> int:
        """Columns of both halves."""
        return 2 * self.width


@dataclass(frozen=True)
class _Block:
    """A block of output rows from `first`, its hidden rows from `top`; the `hidden` rows of a
    panel, the stencil's `sums`, and the second product's left operand."""

    shape: Shape
    rows: int
    first: Expr
    top: Expr
    hidden: View
    sums: View
    factors: Factors


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
    """Pointers: x, weight1, [bias1], depthwise, [its bias], weight2, [bias2], [residual], out.
    A task is a block of `rows` output rows of an image."""
    e = Emitter()
    x, weight1, bias1 = e.pointer("x"), e.pointer("weight1"), e.optional("bias1", shape.bias1)
    taps, taps_bias = e.pointer("taps"), e.optional("taps_bias", shape.depthwise_bias)
    weight2, bias2 = e.pointer("weight2"), e.optional("bias2", shape.bias2)
    residual = e.optional("residual", shape.residual)
    out, scratch = e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")

    floats, height = Scratch.of(shape, rows, up, down), hidden_rows(shape, rows)
    source_pixels, result_pixels = height * shape.across.size, rows * shape.across.out
    source = Factors(scratch, source_pixels, shape.k)
    middle = Factors(scratch.at(floats.x), result_pixels, shape.c)
    products = scratch.at(floats.x + floats.middle)
    hidden = products.at(floats.sums)
    blocks = shape.down.out // rows
    with e.loop(end - begin, "task", begin) as task:
        image, first = e.hold(task // blocks), e.hold(task % blocks * rows)
        top = e.hold(larger(0, smaller(first - shape.down.padding, shape.down.size - height)))
        rows_in = x.at(e.let((image * shape.down.size + top) * (shape.across.size * shape.k)))
        block = _Block(shape, rows, first, top, hidden, hidden.at(floats.hidden), middle)
        split(e, rows_in, source, target.lanes)

        def panel_code(panel: _Panel, block: _Block = block) -> None:
            sink = _store_panel(source_pixels, shape.c // 2, panel, hidden, bias1, shape.act1)
            mine = taps.at(e.let(panel.start * (2 * shape.down.kernel * shape.across.kernel)))
            bias = None if taps_bias is None else taps_bias.at(e.let(panel.start * 2))
            if prefetch:
                ask(e, bias1, panel.start, panel.width)
                ask(e, bias1, panel.start + shape.c // 2, panel.width)
                ask(e, mine, 0, panel.both * shape.down.kernel * shape.across.kernel)
                ask(e, bias, 0, panel.both)
            multiply(e, up, shape.c, source, weight1, products, sink, prefetch, panel.span)
            wanted = weight2 if prefetch else None
            _stencil(e, block, panel, mine, bias, pixels, down, wanted)

        whole, rest = divmod(shape.c // 2, up.panel)
        if whole:
            with e.loop(whole, "panel") as index:
                panel_code(_Panel(e.let(index * up.panel), up.panel, Span(index, 1, False)))
        if rest:
            panel_code(_Panel(int32(whole * up.panel), rest, Span(0, 0, True)))
        result = e.let((image * shape.down.out + first) * (shape.across.out * shape.n))
        more = None if residual is None else residual.at(result)
        last = store_quarters(result_pixels, shape.n, out.at(result), bias2, "none", more)
        multiply(e, down, shape.n, middle, weight2, products, last, prefetch)
    return Built(e.finish(symbol), floats.bytes, shape.batch * blocks)


def _store_panel(
    pixels: int, columns: int, panel: _Panel, hidden: View, bias: View | None, act: str
) -> Sink:
    """Store ``act(C + bias)``, C of the columns of `panel` alone, of `columns` of a half."""
    upper, right = half(pixels), panel.width

    def sink(e: Emitter, row: Expr, column: Expr, lanes: int, four: Four) -> None:
        def put(lower: int, values: Four) -> None:
            start = e.let((row + lower * upper) * panel.both + (column - panel.start))
            for side, value in enumerate(values):
                at = column + side * columns
                e.store(hidden, start + side * right, finish(e, value, bias, at, lanes, act), lanes)

        put(0, four[:2])
        if pixels % 2 == 0:
            put(1, four[2:])
        else:
            with e.when(row < int32(pixels // 2)):
                put(1, four[2:])

    return sink


def _stencil(
    e: Emitter,
    block: _Block,
    panel: _Panel,
    taps: View,
    bias: View | None,
    pixels: int,
    down: Tile,
    wanted: View | None,
) -> None:
    """The depthwise convolution of a panel and its activation, into factors; the first of the
    `wanted` weights of the second product, whose tile is `down`, are asked for meanwhile."""
    shape, across, lanes = block.shape, block.shape.across, down.lanes
    second = filled(min(down.panel, shape.n // 2), lanes)
    row_floats = across.out * panel.both

    def row_code(y: Expr, sums: View) -> None:
        """Output row y of the block."""
        output = e.let(block.first + y)

        def row_of(ky: Expr) -> View:
            row = output - shape.down.padding + ky - block.top
            return block.hidden.at(e.hold(row * (across.size * panel.both)))

        sink = store_epilogue(sums, panel.both, "none", None)
        stencil_row(
            e, across, panel.both, pixels, lanes, shape.down.bounds(e, output), row_of, taps, bias,
            sink, "none", sums,
        )  # fmt: skip

    if block.rows % 2 == 0:
        with e.loop(block.rows // 2, "y") as y:
            if wanted is not None:
                ask_share(e, wanted, panel.start, panel.width, second, y, block.rows // 2)
            row_code(y, block.sums)
            row_code(e.let(y + block.rows // 2), block.sums.at(row_floats))
            _to_factors(e, block, panel, e.let(y * across.out), across.out, across.out, lanes)
    else:
        with e.loop(block.rows, "y") as y:
            if wanted is not None:
                ask_share(e, wanted, panel.start, panel.width, second, y, block.rows)
            row_code(y, block.sums.at(e.let(y * row_floats)))
        every = block.rows * across.out
        _to_factors(e, block, panel, 0, half(every), every // 2, lanes)


def _to_factors(
    e: Emitter, block: _Block, panel: _Panel, first: Expr, upper: int, lower: int, lanes: int
) -> None:
    """Finish the stencil's sums of `upper` rows of the upper half, from `first`, and the `lower`
    ones after them of the lower half, and make factors of them."""
    act, width = block.shape.act2, panel.width

    def row_code(row: Expr, whole: bool) -> None:
        starts = [e.let((row + lower_half * upper) * panel.both) for lower_half in (0, 1)]
        start = 0
        for vector in vector_widths(width, lanes):
            four = [float32(0.0, vector)] * 4
            for number in range(4 if whole else 2):
                at = starts[number // 2] + (number % 2 * width + start)
                value = e.let(e.load(block.sums, at, vector))
                four[number] = e.let(finish(e, value, None, 0, vector, act))
            block.factors.store(e, e.let(first + row), e.let(panel.start + start), vector, four)
            start += vector

    with e.loop(lower, "row") as row:
        row_code(row, True)
    if lower < upper:
        row_code(int32(lower), False)
