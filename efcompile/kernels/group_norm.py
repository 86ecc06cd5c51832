"""Group norm of channels-last images, two-pass.

Where there are fewer groups than cores, each group's positions are cut into blocks, and every
thread makes the group's moments for itself: reading a group is less than half of its norm.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels import sweep
from efcompile.kernels.emit import Emitter, Expr, View, float32, int32, splat
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.reduce import add, inverse_root, moments, reduce
from efcompile.kernels.reference import te_function, te_normalise
from efcompile.kernels.spaces import sizes, tasks_legal
from efcompile.kernels.span import share
from efcompile.targets.target import Target
from efcompile.tvm_api import te


@dataclass(frozen=True)
class Shape:
    """x [images, positions, channels]: each image's `groups` runs of channels are normalised
    over all positions, then scaled and shifted by channel."""

    images: int
    positions: int
    channels: int
    groups: int
    weight: bool
    bias: bool
    eps: float

    @property
    def width(self) -> int:
        """Channels of a group."""
        return self.channels // self.groups


@dataclass(frozen=True)
class Knobs:
    """The loops over channels, and the positions of a group that are one task's: few spread over
    the cores, each of which makes the moments again."""

    rows: sweep.Knobs
    positions: int


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `group_norm` call, or why it is not one for this kernel."""
    images, *positions, channels = call.out.shape
    affine = call.args["weight"] is not None, call.args["bias"] is not None
    return call.not_float32() or Shape(
        images, prod(positions), channels, call.args["groups"], *affine, call.args["eps"]
    )


def plain(shape: Shape) -> Any:
    """x [images, positions, channels], [weight [channels]], [bias [channels]] -> like x."""
    size, width = (shape.images, shape.positions, shape.channels), shape.width
    x = te.placeholder(size, name="x")
    rows = te.compute(
        (shape.images * shape.groups, shape.positions * width),
        lambda i, j: x[i // shape.groups, j // width, i % shape.groups * width + j % width],
        name="grouped",
    )
    normal = te_normalise(rows, shape.eps)
    y = te.compute(
        size,
        lambda n, p, c: normal[n * shape.groups + c // width, p * width + c % width],
        name="back",
    )
    operands = [x]
    if shape.weight:
        weight, unscaled = te.placeholder((shape.channels,), name="weight"), y
        operands.append(weight)
        y = te.compute(size, lambda n, p, c: unscaled[n, p, c] * weight[c], name="scaled")
    if shape.bias:
        bias, scaled = te.placeholder((shape.channels,), name="bias"), y
        operands.append(bias)
        y = te.compute(size, lambda n, p, c: scaled[n, p, c] + bias[c], name="shifted")
    return te_function([*operands, y])


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """A block for every core; see `sweep.default_knobs` for the loops."""
    blocks = -(-target.cores // (shape.images * shape.groups))
    return Knobs(sweep.default_knobs(target), -(-shape.positions // blocks))


def _blocks(shape: Shape, knobs: Knobs) -> int:
    """Tasks of a group."""
    return -(-shape.positions // knobs.positions)


def choices(shape: Shape, target: Target) -> dict[str, tuple[int, ...]]:
    """Loops, and blocks around the default's."""
    default = default_knobs(shape, target)
    return {"rows.vectors": sweep.VECTORS, "positions": sizes(shape.positions, default.positions)}


def legal(shape: Shape, target: Target, knobs: Knobs) -> bool:
    """Whether the blocks are some, and enough."""
    groups, usual = shape.images * shape.groups, default_knobs(shape, target)
    return (
        sweep.legal(knobs.rows, target)
        and 1 <= knobs.positions <= shape.positions
        and tasks_legal(groups * _blocks(shape, knobs), groups * _blocks(shape, usual), target)
    )


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """x, [weight], [bias]."""
    return [call.argument("x"), *call.present("weight", "bias")]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, [weight], [bias], out.  A task is one block of a group of one image."""
    e = Emitter()
    x = e.pointer("x")
    weight = e.optional("weight", shape.weight)
    bias = e.optional("bias", shape.bias)
    out, scales = e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    width, blocks = shape.width, _blocks(shape, knobs)
    centre = scales.at(width)

    with e.loop(end - begin, "task", begin) as task:
        group, block = e.let(task // blocks), e.let(task % blocks)
        image, first = e.let(group // shape.groups), e.let(group % shape.groups * width)
        start = e.let(image * (shape.positions * shape.channels) + first)
        source, result = x.at(start), out.at(start)
        with e.when((task == begin) | (block == int32(0))):
            mean, scale = _moments(e, source, shape, knobs.rows)
            e.store(centre, 0, mean)

            def scale_channel(c: Expr, lanes: int, scale: Expr = scale) -> None:
                value = splat(scale, lanes)
                if weight is not None:
                    value = value * e.load(weight, first + c, lanes)
                e.store(scales, c, value, lanes)

            sweep.sweep_all(e, width, knobs.rows, scale_channel)
        middle = e.let(e.load(centre))
        part = share(e, block, blocks, knobs.positions, shape.positions)
        with e.loop(part.count, "position", part.first) as position:
            row = e.let(position * shape.channels)

            def body(c: Expr, lanes: int) -> None:
                value = (e.load(source, row + c, lanes) - splat(middle, lanes)) * e.load(
                    scales, c, lanes
                )
                if bias is not None:
                    value = value + e.load(bias, first + c, lanes)
                e.store(result, row + c, value, lanes)

            sweep.sweep_all(e, width, knobs.rows, body)
    tasks = shape.images * shape.groups * blocks
    return Built(e.finish(symbol), 4 * (width + 1), tasks, chained=blocks > 1)


def _moments(e: Emitter, x: View, shape: Shape, knobs: sweep.Knobs) -> tuple[Expr, Expr]:
    """Mean and 1 / sqrt(variance + eps) of one group."""
    size = shape.positions * shape.width
    if shape.groups == 1:
        return moments(e, x, size, knobs.lanes, shape.eps)

    def over_rows(centre: Expr | None) -> Expr:
        """The mean over the group of x, or of its squared distance from `centre`."""
        total = e.register(1, value=float32(0.0))
        with e.loop(shape.positions, "position") as position:
            row = x.at(e.let(position * shape.channels))

            def load(index: Expr, lanes: int) -> Expr:
                value = e.load(row, index, lanes)
                if centre is None:
                    return value
                centred = e.let(value - splat(centre, lanes))
                return centred * centred

            e.set(total, e.get(total) + reduce(e, shape.width, knobs.lanes, load, add, 0.0))
        return e.let(e.get(total) * float32(1 / size))

    mean = over_rows(None)
    return mean, inverse_root(e, over_rows(mean), shape.eps)


KERNEL = Kernel(
    "group_norm", "group_norm", shape_of, plain, default_knobs, pack, build, choices, legal
)
