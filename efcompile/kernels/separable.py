"""The depthwise-separable convolution, in steps of output rows.

A step runs the stencil over the input, where it lies, into a buffer of middle rows in scratch,
and multiplies those into the result, so the middle image never leaves the cache.
"""

from dataclasses import dataclass
from typing import Any

from efcompile.kernels.activations import CHEAP
from efcompile.kernels.emit import Emitter, Expr, View
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.pairs import pack_product, result_rms
from efcompile.kernels.reference import te_activation, te_function
from efcompile.kernels.refusal import refusal
from efcompile.kernels.register_tile import Tile, choose_tile
from efcompile.kernels.rows import smaller
from efcompile.kernels.spaces import (
    pair_choices,
    pixel_choices,
    pixels_legal,
    prefetch_choices,
    prefetch_legal,
    scratch_legal,
    sizes,
    tasks_legal,
    tile_choices,
    tile_legal,
    unroll_choices,
    unroll_legal,
)
from efcompile.kernels.stencil import Axis, choose_pixels, pack_taps, stencil_row
from efcompile.kernels.step import Steps, project, step_rows
from efcompile.kernels.tile import store_epilogue
from efcompile.targets.target import Target
from efcompile.tvm_api import te, tirx

CONSTANTS = ("depthwise", "depthwise_bias", "weight", "bias")
"""The constant operands, in the op's order."""


@dataclass(frozen=True)
class Shape:
    """x [batch, down.size, across.size, c] -> [batch, down.out, across.out, n]."""

    batch: int
    c: int
    n: int
    down: Axis
    across: Axis
    depthwise_bias: bool
    bias: bool
    residual: bool
    act1: str
    act2: str


@dataclass(frozen=True)
class Knobs:
    """The product's `tile`, `pixels` of the stencil's tile, output `rows` of a step, and whether
    the product asks for weights a panel ahead.

    Long steps go over the weights seldom; short ones keep their rows in L1 and spread over more
    cores.
    """

    tile: Tile
    pixels: int
    rows: int
    prefetch: bool


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `separable` call, or why it is not one for this kernel."""
    batch, height, width, c = call.operand("x").shape
    _, kernel_h, kernel_w, _ = call.operand("depthwise").shape
    stride, padding, dilation = (
        [int(v) for v in call.args[name]] for name in ("stride", "padding", "dilation")
    )
    return refusal(call, CONSTANTS) or Shape(
        batch,
        c,
        call.operand("weight").shape[0],
        Axis(height, kernel_h, stride[0], padding[0], dilation[0]),
        Axis(width, kernel_w, stride[-1], padding[-1], dilation[-1]),
        call.args["depthwise_bias"] is not None,
        call.args["bias"] is not None,
        call.args["residual"] is not None,
        call.args["act1"],
        call.args["act2"],
    )


def plain(shape: Shape) -> Any:
    """The algorithm, naively: x, depthwise [c, kh, kw, 1], [its bias], weight [n, c], [bias],
    [residual] -> result."""
    down, across = shape.down, shape.across
    x = te.placeholder((shape.batch, down.size, across.size, shape.c), name="x")
    taps = te.placeholder((shape.c, down.kernel, across.kernel, 1), name="taps")
    operands = [x, taps]

    def padded(n: Any, i: Any, j: Any, o: Any) -> Any:
        y, z = i - down.padding, j - across.padding
        inside = tirx.all(y >= 0, y < down.size, z >= 0, z < across.size)
        return tirx.if_then_else(inside, x[n, y, z, o], tirx.const(0.0, "float32"))

    sizes = (down.size + 2 * down.padding, across.size + 2 * across.padding)
    image = te.compute((shape.batch, *sizes, shape.c), padded, name="padded")
    ky = te.reduce_axis((0, down.kernel), name="ky")
    kx = te.reduce_axis((0, across.kernel), name="kx")

    def tap(n: Any, i: Any, j: Any, o: Any) -> Any:
        row, column = i * down.stride + ky * down.dilation, j * across.stride + kx * across.dilation
        return te.sum(image[n, row, column, o] * taps[o, ky, kx, 0], [ky, kx])

    def biased(y: Any, present: bool) -> Any:
        if not present:
            return y
        bias = te.placeholder((int(y.shape[3]),), name=f"bias{len(operands)}")
        operands.append(bias)
        return te.compute(y.shape, lambda n, i, j, o: y[n, i, j, o] + bias[o])

    out = (shape.batch, down.out, across.out)
    middle = te.compute((*out, shape.c), tap, name="middle")
    middle = te_activation(biased(middle, shape.depthwise_bias), shape.act1)
    weight = te.placeholder((shape.n, shape.c), name="weight")
    operands.append(weight)
    k = te.reduce_axis((0, shape.c), name="kk")
    result = te.compute(
        (*out, shape.n), lambda n, i, j, o: te.sum(middle[n, i, j, k] * weight[o, k], k)
    )
    result = te_activation(biased(result, shape.bias), shape.act2)
    if shape.residual:
        residual, active = te.placeholder((*out, shape.n), name="residual"), result
        operands.append(residual)
        result = te.compute(active.shape, lambda *i: active[i] + residual[i])
    return te_function([*operands, result])


def _middle_floats(shape: Shape, rows: int) -> int:
    return rows * shape.across.out * shape.c


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """Steps by `step_rows`, and the tiles that fit them best."""
    rows = step_rows(
        4 * shape.c * shape.n,
        shape.batch,
        shape.down,
        shape.across,
        lambda rows: 4 * _middle_floats(shape, rows),
        target,
    )
    width = Steps(shape.down, shape.across, rows).product_width
    pixels = choose_pixels(shape.across, target.registers)
    tile = choose_tile(width, shape.n, target, shape.c, pairs=True)
    # On NEON asking ahead showed as instructions only.
    return Knobs(tile, pixels, rows, prefetch=not tile.lane_a)


def choices(shape: Shape, target: Target) -> dict[str, tuple[int, ...]]:
    """Tiles of the product and the stencil, steps up to four times as long or short as the
    default's, prefetch."""
    default = default_knobs(shape, target)
    width = Steps(shape.down, shape.across, default.rows).product_width
    return {
        **tile_choices("tile", width, shape.n, target),
        **unroll_choices("tile", target),
        **pair_choices("tile", target),
        "pixels": pixel_choices(shape.across, target.registers),
        "rows": sizes(shape.down.out, default.rows),
        **prefetch_choices(target),
    }


def legal(shape: Shape, target: Target, knobs: Knobs) -> bool:
    """Whether the tiles fit, and prefetch is chosen where there is any."""
    if not 1 <= knobs.rows <= shape.down.out:
        return False
    steps, default = Steps(shape.down, shape.across, knobs.rows), default_knobs(shape, target)
    usual, pixels = Steps(shape.down, shape.across, default.rows), steps.product_width
    used, before = (4 * _middle_floats(shape, rows) for rows in (knobs.rows, default.rows))
    ahead, rows = (knobs.prefetch, default.prefetch), steps.product_rows * pixels
    return (
        tile_legal(knobs.tile, pixels, shape.n, target, shape.c, pairs=True)
        and unroll_legal(knobs.tile, side_by_side=False)
        and pixels_legal(knobs.pixels, shape.across, target.registers)
        and prefetch_legal(*ahead, rows, shape.n, knobs.tile)
        and scratch_legal(used, before, target)
        and tasks_legal(shape.batch * steps.count, shape.batch * usual.count, target)
    )


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """x, taps as [kh, kw, C], their bias, the weight's panels, bias, residual."""
    taps, middle = pack_taps(call.value("depthwise")), call.present("depthwise_bias")
    rms = call.operand("x").rms
    rms = result_rms(call.value("depthwise"), call.constant("depthwise_bias"), rms)
    product = pack_product(call.value("weight"), call.constant("bias"), knobs.tile, rms)
    return ["x", taps, *middle, *product, *call.present("residual")]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, depthwise, [its bias], weight, [bias], [residual], out.  A task is a step."""
    e = Emitter()
    x, taps = e.pointer("x"), e.pointer("taps")
    taps_bias = e.optional("taps_bias", shape.depthwise_bias)
    weight, bias = e.pointer("weight"), e.optional("bias", shape.bias or knobs.tile.pairs)
    residual, out = e.optional("residual", shape.residual), e.pointer("out")
    scratch = e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")

    tile, down, across = knobs.tile, shape.down, shape.across
    steps = Steps(down, across, knobs.rows)
    stage_floats = max(tile.rows * tile.panel, knobs.pixels * target.lanes)
    middle, floats = scratch.at(stage_floats), _middle_floats(shape, steps.rows)
    with e.loop(end - begin, "task", begin) as task:
        image, step = e.hold(task // steps.count), e.hold(task % steps.count)
        first = e.let(step * steps.rows)
        rows = e.hold(smaller(down.out - first, steps.rows))
        source = x.at(e.let(image * (down.size * across.size * shape.c)))
        with e.loop(rows, "y") as y:
            output = e.let(first + y)
            _middle_row(
                e,
                shape,
                knobs,
                target.lanes,
                source,
                output,
                taps,
                taps_bias,
                middle.at(e.let(y * _middle_floats(shape, 1))),
                scratch,
            )
        start = e.let((image * down.out + first) * (across.out * shape.n))
        project(
            e,
            steps,
            rows,
            tile,
            (shape.c, shape.n),
            middle,
            weight,
            bias,
            out.at(start),
            None if residual is None else residual.at(start),
            shape.act2,
            None if shape.act2 in CHEAP else scratch,
            knobs.prefetch,
            left_sums=middle.at(floats) if tile.pairs else None,
        )
    floats += stage_floats + steps.rows * across.out * tile.pairs
    return Built(e.finish(symbol), 4 * floats, shape.batch * steps.count)


def _middle_row(
    e: Emitter,
    shape: Shape,
    knobs: Knobs,
    lanes: int,
    image: View,
    output: Expr,
    taps: View,
    bias: View | None,
    result: View,
    stage: View,
) -> None:
    """The stencil and its activation: row `output` of the middle image to `result`."""
    down, across = shape.down, shape.across
    top = e.let(output * down.stride - down.padding)

    def row_of(ky: Expr) -> View:
        return image.at(e.let((top + ky * down.dilation) * (across.size * shape.c)))

    stencil_row(
        e,
        across,
        shape.c,
        knobs.pixels,
        lanes,
        down.bounds(e, output),
        row_of,
        taps,
        bias,
        store_epilogue(result, shape.c, shape.act1, None),
        shape.act1,
        stage,
    )


KERNEL = Kernel(
    "separable", "separable", shape_of, plain, default_knobs, pack, build, choices, legal
)
