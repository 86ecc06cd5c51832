"""A dense convolution in seven products for eight: blocks of whole output rows by `strassen`.

A block's windows, kernel times channels elements for each output pixel, are nowhere laid out:
their factors are, gathered from the image where it lies.  The halves of k are those of the
channels, so that all that meets in a factor comes from the same tap.
"""

from dataclasses import dataclass, replace

from efcompile.kernels.conv_shape import ConvShape
from efcompile.kernels.emit import Emitter, Expr, View, float32, int32, select, splat
from efcompile.kernels.kernel import Array, Built, OpCall
from efcompile.kernels.register_tile import Tile, choose_tile
from efcompile.kernels.rows import vector_runs
from efcompile.kernels.span import share
from efcompile.kernels.strassen import (
    LEAST_ROWS,
    Factors,
    cycles,
    factors_floats,
    half,
    multiply,
    pack_factors,
    store_quarters,
    sums_floats,
)
from efcompile.targets.target import Target

_GATHER = 3.0
"""Cycles that four vectors of windows take beyond those of a matrix in order: they come from a
larger cache, and each tap has its own place and border."""


def blocks(shape: ConvShape, target: Target) -> tuple[int, ...]:
    """Output rows that a block may have: divisors of an image's, as rows of two images must not
    meet in one product; none where this is no choice."""
    if not target.strassen or shape.nchw or shape.groups != 1:
        return ()
    if shape.channels % 2 or shape.filters % 2:
        return ()
    return tuple(
        rows
        for rows in range(1, shape.out_height + 1)
        if shape.out_height % rows == 0 and half(rows * shape.out_width) >= LEAST_ROWS
    )


def block_rows(shape: ConvShape, target: Target) -> int | None:
    """Rows of a block, whose factors L2 must hold: such that the busiest core has least to do, tall
    enough to load the factors of the weights seldom, with factors in half of L2, and as many as
    there may be, in this order."""

    def rank(rows: int) -> tuple[int, bool, bool, int]:
        busiest = -(-shape.batch * (shape.out_height // rows) // target.cores) * rows
        short = half(rows * shape.out_width) < 2 * LEAST_ROWS
        return busiest, short, floats[rows] * 8 > target.l2_bytes, -rows

    floats = {rows: factors_floats(rows * shape.out_width, shape.window)
              for rows in blocks(shape, target)}  # fmt: skip
    fitting = [rows for rows in floats if 4 * floats[rows] <= target.l2_bytes]
    return min(fitting, key=rank, default=None)


def product(shape: ConvShape, rows: int) -> tuple[int, int, int]:
    """Rows, columns and depth of the products that tiles make."""
    return half(rows * shape.out_width), shape.filters // 2, shape.window // 2


def choose_block_tile(shape: ConvShape, rows: int, target: Target) -> Tile:
    """The tile for blocks of `rows` output rows: tiles of one height rather than a low last one."""
    m, n, k = product(shape, rows)
    tile = choose_tile(m, n, target, k)
    return replace(tile, rows=-(-m // -(-m // tile.rows)))


def image_cycles(shape: ConvShape, rows: int, tile: Tile, target: Target) -> float:
    """An estimate of a whole image, in blocks of `rows` output rows."""
    pixels = rows * shape.out_width
    vectors = -(-shape.channels // 2 // target.lanes) * shape.kernel[0] * shape.kernel[1]
    once = cycles(pixels, shape.filters, shape.window, tile, target)
    return shape.out_height // rows * (once + _GATHER * half(pixels) * vectors)


def scratch_floats(shape: ConvShape, rows: int, tile: Tile) -> int:
    """Floats of scratch: a block's factors, then a panel's products."""
    pixels = rows * shape.out_width
    return factors_floats(pixels, shape.window) + sums_floats(pixels, tile)


def pack(call: OpCall, tile: Tile) -> list[str | Array]:
    """x, weight's factors, bias, residual."""
    weight = call.value("weight")
    filters, *taps, channels = weight.shape
    halves = weight.reshape(filters, taps[0] * taps[1], 2, channels // 2).transpose(0, 2, 1, 3)
    return ["x", pack_factors(halves.reshape(filters, -1), tile),
            *call.present("bias", "residual")]  # fmt: skip


def build(
    symbol: str,
    shape: ConvShape,
    target: Target,
    tile: Tile,
    rows: int,
    task_panels: int,
    prefetch: bool,
) -> Built:
    """Pointers: x, packed weight, [bias], [residual], out.  A task is `rows` output rows and
    `task_panels` panels of half of the filters."""
    e = Emitter()
    x, weight = e.pointer("x"), e.pointer("weight")
    bias, residual = e.optional("bias", shape.bias), e.optional("residual", shape.residual)
    out, scratch = e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")

    pixels, panels = rows * shape.out_width, shape.filters // 2 // tile.panel
    each, parts = shape.out_height // rows, max(1, -(-panels // task_panels))
    factors = Factors(scratch, pixels, shape.window)
    sums = scratch.at(factors_floats(pixels, shape.window))
    image_floats = shape.height * shape.width * shape.channels
    with e.loop(end - begin, "task", begin) as task:
        part, block = e.hold(task % parts), e.hold(task // parts)
        image = x.at(e.let(block // each * image_floats))
        first = e.hold(block % each * pixels)
        # The factors outlive the task: the next parts of the block find them, on the same thread.
        with e.when((part == int32(0)) | (task == begin)):
            _gather(e, shape, image, first, factors, target.lanes)
        result = e.let(block * (pixels * shape.filters))
        rest = None if residual is None else residual.at(result)
        sink = store_quarters(pixels, shape.filters, out.at(result), bias, shape.act, rest)
        span = share(e, part, parts, task_panels, panels)
        multiply(e, tile, shape.filters, factors, weight, sums, sink, prefetch, span)
    floats = scratch_floats(shape, rows, tile)
    return Built(e.finish(symbol), 4 * floats, shape.batch * each * parts, parts > 1)


@dataclass(frozen=True)
class _Window:
    """The input under an output pixel: the row and column of its first tap, perhaps outside."""

    y: Expr
    x: Expr

    @staticmethod
    def of(e: Emitter, shape: ConvShape, pixel: Expr) -> "_Window":
        """Of an output pixel of an image, counted along its rows."""
        y = e.hold(pixel // shape.out_width)
        x = pixel - y * shape.out_width
        return _Window(
            e.let(y * shape.stride[0] - shape.padding[0]),
            e.let(x * shape.stride[1] - shape.padding[1]),
        )

    def tap(self, e: Emitter, shape: ConvShape, ky: Expr, kx: Expr) -> tuple[Expr, Expr]:
        """Whether a tap is inside the image, and where: at its start if it is not."""
        y = e.let(self.y + ky * shape.dilation[0])
        x = e.let(self.x + kx * shape.dilation[1])
        inside = (y >= int32(0)) & (y < int32(shape.height))
        inside = inside & (x >= int32(0)) & (x < int32(shape.width))
        start = (y * shape.width + x) * shape.channels
        return inside, e.hold(select(inside, start, int32(0)))


def _gather(
    e: Emitter, shape: ConvShape, image: View, first: Expr, factors: Factors, lanes: int
) -> None:
    """Make the factors of the windows of the output pixels from `first`."""
    channels, upper, lower = shape.channels // 2, half(factors.rows), factors.rows // 2

    def row_code(row: Expr, whole: bool) -> None:
        pixels = (first + row, first + row + upper)[: 1 + whole]
        windows = [_Window.of(e, shape, e.let(pixel)) for pixel in pixels]
        with e.loop(shape.kernel[0], "ky") as ky, e.loop(shape.kernel[1], "kx") as kx:
            taps = [window.tap(e, shape, ky, kx) for window in windows]
            column = e.let((ky * shape.kernel[1] + kx) * channels)
            for start, width in vector_runs(e, channels, lanes):
                zero = float32(0.0, width)
                four = [zero] * 4
                for number, (inside, offset) in enumerate(taps):
                    for side in (0, 1):
                        value = e.load(image.at(offset), start + side * channels, width)
                        if shape.padding != (0, 0):
                            value = select(splat(inside, width), value, zero)
                        four[2 * number + side] = e.let(value)
                factors.store(e, row, e.let(column + start), width, four)

    with e.loop(lower, "row") as row:
        row_code(row, True)
    if lower < upper:
        row_code(int32(lower), False)
