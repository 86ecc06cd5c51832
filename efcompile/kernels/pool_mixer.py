"""The pool mixer as one stencil: column sums of a tile of pixels in registers, then row sums.

Like `stencil`, it leaves out the taps outside the image instead of testing for them; the
average then divides by the taps that are left, as padding is not counted.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from efcompile.kernels.ahead import LINE
from efcompile.kernels.emit import Emitter, Expr, View, float32, int32, select, splat
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.reference import te_function
from efcompile.kernels.refusal import refusal
from efcompile.kernels.rows import vector_runs
from efcompile.kernels.stencil import Axis, PixelRun, pixel_runs
from efcompile.targets.target import Target
from efcompile.tvm_api import te, tirx


@dataclass(frozen=True)
class Shape:
    """``residual + scale * (avg_pool(x) - x)`` over x [batch, height, width, channels]."""

    batch: int
    height: int
    width: int
    channels: int
    kernel: int
    residual: bool
    scale: bool

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """The window down and across."""
        half = self.kernel // 2
        return Axis(self.height, self.kernel, 1, half), Axis(self.width, self.kernel, 1, half)


@dataclass(frozen=True)
class Knobs:
    """`pixels` of an output row that are in registers together: many share column sums, few
    waste less at a row's end.  The image is gone over once for each of `blocks` of its channels:
    the rows under a window are to stay in L1."""

    pixels: int
    blocks: int


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `pool_mixer` call, or why it is not one for this kernel."""
    batch, height, width, channels = call.operand("x").shape
    kernel = int(call.args["kernel"])
    residual, scale = (call.args[name] is not None for name in ("residual", "scale"))
    return refusal(call) or Shape(batch, height, width, channels, kernel, residual, scale)


def plain(shape: Shape) -> Any:
    """The algorithm, naively: x, [residual], [scale] -> result."""
    size = (shape.batch, shape.height, shape.width, shape.channels)
    half, kernel = shape.kernel // 2, shape.kernel
    x = te.placeholder(size, name="x")
    operands = [x]
    ky, kx = te.reduce_axis((0, kernel), name="ky"), te.reduce_axis((0, kernel), name="kx")

    def inside(y: Any, z: Any) -> Any:
        return tirx.all(y >= 0, y < shape.height, z >= 0, z < shape.width)

    def padded(n: Any, y: Any, z: Any, c: Any) -> Any:
        row, column = y - half, z - half
        value = x[n, row, column, c]
        return tirx.if_then_else(inside(row, column), value, tirx.const(0.0, "float32"))

    wide = (shape.batch, shape.height + 2 * half, shape.width + 2 * half, shape.channels)
    image = te.compute(wide, padded, name="padded")
    total = te.compute(
        size, lambda n, y, z, c: te.sum(image[n, y + ky, z + kx, c], [ky, kx]), name="total"
    )
    one, none = tirx.const(1.0, "float32"), tirx.const(0.0, "float32")
    count = te.compute(
        size[1:3],
        lambda y, z: te.sum(
            tirx.if_then_else(inside(y + ky - half, z + kx - half), one, none), [ky, kx]
        ),
        name="count",
    )
    mixed = te.compute(size, lambda *i: total[i] / count[i[1], i[2]] - x[i], name="mixed")
    residual = te.placeholder(size, name="residual") if shape.residual else None
    scale = te.placeholder((shape.channels,), name="scale") if shape.scale else None

    def finish(*i: Any) -> Any:
        value = mixed[i] if scale is None else mixed[i] * scale[i[3]]
        return value if residual is None else residual[i] + value

    operands += [operand for operand in (residual, scale) if operand is not None]
    return te_function([*operands, te.compute(size, finish, name="out")])


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """The tile, a register for each input column under it, with the fewest loads for a row, and
    as many blocks as L1 asks for."""
    pixels = min(_tiles(shape, target), key=lambda pixels: _loads(shape, pixels))
    window = 4 * shape.width * shape.channels * (shape.kernel + 1)
    fitting = [n for n in _blocks(shape, target) if 4 * window <= 3 * n * target.l1_bytes]
    return Knobs(pixels, min(fitting, default=_blocks(shape, target)[-1]))


def _blocks(shape: Shape, target: Target) -> list[int]:
    """Numbers of equal blocks of whole vectors, of which each pixel has a few cache lines."""
    most = shape.channels // (_LINES * LINE)
    return [1, *(n for n in range(2, most + 1) if shape.channels % (n * target.lanes) == 0)]


_LINES = 4
"""Cache lines of a pixel that a block has at least: of fewer each row is a new walk."""


def _tiles(shape: Shape, target: Target) -> range:
    """The tiles that registers can hold."""
    most = max(1, min(target.registers - shape.kernel - 5, shape.width))
    return range(1, most + 1)


@lru_cache(maxsize=4096)
def _loads(shape: Shape, pixels: int) -> int:
    """Loads for a row of the result, and a few for each tile's beginning."""
    runs = pixel_runs(shape.axes[1], pixels)
    return sum(run.times * (run.count + shape.kernel + 3) for run in runs)


def choices(shape: Shape, target: Target) -> dict[str, tuple[int, ...]]:
    """Tiles of pixels that are not far from the fewest loads, and blocks of channels."""
    pixels = [p for p in _tiles(shape, target) if legal(shape, target, Knobs(p, 1))]
    return {"pixels": tuple(pixels), "blocks": tuple(_blocks(shape, target))}


def legal(shape: Shape, target: Target, knobs: Knobs) -> bool:
    """Whether the tile fits into the registers and has few loads, and there are such blocks."""
    least = _loads(shape, default_knobs(shape, target).pixels)
    return (
        knobs.pixels in _tiles(shape, target)
        and _loads(shape, knobs.pixels) <= _MORE_LOADS * least
        and knobs.blocks in _blocks(shape, target)
    )


_MORE_LOADS = 2.0
"""How many times the fewest loads a tile may take that is worth trying."""


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """x, [residual], [scale]."""
    return ["x", *call.present("residual", "scale")]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, [residual], [scale], out.  A task is an output row's block of channels."""
    e = Emitter()
    x = e.pointer("x")
    residual = e.optional("residual", shape.residual)
    scale = e.optional("scale", shape.scale)
    out = e.pointer("out")
    e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")

    down, across = shape.axes
    row = shape.width * shape.channels
    rows, channels = shape.batch * shape.height, shape.channels // knobs.blocks
    # On NEON asking ahead showed as instructions only.
    far = target.arch == "x86_64" and 8 * shape.height * row > target.l2_bytes
    with e.loop(end - begin, "task", begin) as done:
        # From the last on: what the call before wrote last is still in L2.
        number = e.let(begin + end - 1 - done)
        task, block = e.hold(number % rows), e.hold(number // rows * channels)
        y = e.hold(task % shape.height)
        first, count = down.bounds(e, y)
        top = e.let((task - down.padding + first) * row)
        share = e.let(_reciprocal(down, count))
        for run in pixel_runs(across, knobs.pixels):
            with e.loop(run.times, "pixels") as index:
                moved = e.let(index * (run.count * shape.channels))
                for vector, lanes in vector_runs(e, channels, target.lanes):
                    channel = e.let(block + vector)
                    here = e.let(moved + channel)
                    sums = _column_sums(e, shape, run, x.at(e.let(top + here)), count, row, lanes)
                    factor = None if scale is None else e.let(e.load(scale, channel, lanes))
                    for p in range(run.first, run.first + run.count):
                        spot = e.let(task * row + here + p * shape.channels)
                        used = [across.source(p, t) for t in across.taps(p)]
                        total = sum((sums[s] for s in used[1:]), start=sums[used[0]])
                        weight = splat(e.let(share * float32(1 / len(used))), lanes)
                        value = total * weight - e.load(x, spot, lanes)
                        if factor is not None:
                            value = value * factor
                        if residual is not None:
                            value = e.load(residual, spot, lanes) + value
                        e.store(out, spot, value, lanes)
                        if far:
                            e.prefetch(x, spot - (shape.kernel // 2 + 1) * row)
    return Built(e.finish(symbol), 0, rows * knobs.blocks)


def _column_sums(
    e: Emitter, shape: Shape, run: PixelRun, top: View, rows: Expr, row: int, lanes: int
) -> dict[int, Expr]:
    """For each input column under the run's first tile, its sum over `rows` rows from `top`."""
    axis = shape.axes[1]
    outputs = range(run.first, run.first + run.count)
    columns = sorted({axis.source(p, t) for p in outputs for t in axis.taps(p)})
    sums = {
        column: e.register(lanes, value=e.load(top, column * shape.channels, lanes))
        for column in columns
    }
    # The window's own row is always inside, so there is a first one to start from.
    with e.loop(rows - 1, "ky", 1) as ky:
        below = top.at(e.let(ky * row))
        for column, total in sums.items():
            e.set(total, e.get(total) + e.load(below, column * shape.channels, lanes))
    return {column: e.let(e.get(total)) for column, total in sums.items()}


def _reciprocal(axis: Axis, count: Expr) -> Expr:
    """One over the run-time number of taps inside the image."""
    counts = sorted({len(axis.taps(y)) for y in range(axis.size)})
    value = float32(1 / counts[-1])
    for other in counts[:-1]:
        value = select(count == int32(other), float32(1 / other), value)
    return value


KERNEL = Kernel(
    "pool_mixer", "pool_mixer", shape_of, plain, default_knobs, pack, build, choices, legal
)
