"""Depthwise convolution, vectorised over channels, a tile of pixels in registers."""

from dataclasses import dataclass

from efcompile.kernels.conv_shape import ConvShape, conv_shape, plain_conv
from efcompile.kernels.emit import Emitter, Expr, View
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.spaces import pixel_choices, pixels_legal
from efcompile.kernels.stencil import Axis, choose_pixels, pack_taps, stencil_row
from efcompile.kernels.tile import store_epilogue
from efcompile.targets.target import Target


@dataclass(frozen=True)
class Knobs:
    """`pixels` of an output row that are in registers together: many share loads and weights,
    few waste less at a row's end."""

    pixels: int


def shape_of(call: OpCall) -> ConvShape | str:
    """The shape of a depthwise `conv2d` call, or why it is not one for this kernel."""
    shape = conv_shape(call)
    if isinstance(shape, str):
        return shape
    if not shape.depthwise:
        return f"{shape.groups} groups of {shape.channels} channels are not depthwise"
    if shape.nchw:
        return "the input is channels-first"
    return shape


def _axes(shape: ConvShape) -> tuple[Axis, Axis]:
    down = (shape.kernel[0], shape.stride[0], shape.padding[0], shape.dilation[0])
    across = (shape.kernel[1], shape.stride[1], shape.padding[1], shape.dilation[1])
    return Axis(shape.height, *down), Axis(shape.width, *across)


def default_knobs(shape: ConvShape, target: Target) -> Knobs:
    """The tile of pixels that the registers allow and the row's width divides best."""
    return Knobs(choose_pixels(_axes(shape)[1], target.registers))


def choices(shape: ConvShape, target: Target) -> dict[str, tuple[int, ...]]:
    """Tiles of pixels."""
    return {"pixels": pixel_choices(_axes(shape)[1], target.registers)}


def legal(shape: ConvShape, target: Target, knobs: Knobs) -> bool:
    """Whether the tile fits into the registers and is not far slower than the default's."""
    return pixels_legal(knobs.pixels, _axes(shape)[1], target.registers)


def pack(call: OpCall, shape: ConvShape, knobs: Knobs) -> list[str | Array]:
    """x, the weight as [kh, kw, C], bias, residual."""
    return ["x", pack_taps(call.value("weight")), *call.present("bias", "residual")]


def build(symbol: str, shape: ConvShape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, packed weight, [bias], [residual], out.  A task is an output row."""
    e = Emitter()
    x, weight = e.pointer("x"), e.pointer("weight")
    bias, residual = e.optional("bias", shape.bias), e.optional("residual", shape.residual)
    out, scratch = e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")

    down, across = _axes(shape)
    in_row, out_row = shape.width * shape.channels, across.out * shape.channels
    with e.loop(end - begin, "task", begin) as task:
        image, y = e.hold(task // down.out), e.hold(task % down.out)
        top = e.let(image * down.size + y * down.stride - down.padding)

        def row_of(ky: Expr, top: Expr = top) -> View:
            return x.at(e.let((top + ky * down.dilation) * in_row))

        result = e.let(task * out_row)
        rest = None if residual is None else residual.at(result)
        stencil_row(
            e,
            across,
            shape.channels,
            knobs.pixels,
            target.lanes,
            down.bounds(e, y),
            row_of,
            weight,
            bias,
            store_epilogue(out.at(result), shape.channels, shape.act, rest),
            shape.act,
            scratch,
        )
    stage_bytes = 4 * knobs.pixels * target.lanes
    return Built(e.finish(symbol), stage_bytes, shape.batch * down.out)


KERNEL = Kernel(
    "depthwise", "conv2d", shape_of, plain_conv, default_knobs, pack, build, choices, legal
)
