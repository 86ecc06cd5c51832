"""The geometry of a convolution, its refusal reasons and its plain algorithm: what all
convolution kernels share."""

from dataclasses import dataclass
from typing import Any

from efcompile.kernels.kernel import OpCall
from efcompile.kernels.reference import te_activation, te_function
from efcompile.kernels.refusal import refusal
from efcompile.tvm_api import te, tirx


@dataclass(frozen=True)
class ConvShape:
    """``act(conv(x) + bias) + residual`` with zero padding; pairs are (height, width).

    x is [batch, height, width, channels], or [batch, channels, height, width] with `nchw`;
    the result is [batch, out_height, out_width, filters].
    """

    batch: int
    height: int
    width: int
    channels: int
    filters: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    bias: bool
    residual: bool
    act: str
    nchw: bool

    def _out(self, size: int, axis: int) -> int:
        reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        return (size + 2 * self.padding[axis] - reach) // self.stride[axis] + 1

    @property
    def out_height(self) -> int:
        """Rows of the result."""
        return self._out(self.height, 0)

    @property
    def out_width(self) -> int:
        """Pixels in a row of the result."""
        return self._out(self.width, 1)

    @property
    def window(self) -> int:
        """Elements of k: the inputs under one output of a filter."""
        return self.kernel[0] * self.kernel[1] * self.channels // self.groups

    @property
    def depthwise(self) -> bool:
        """One filter per channel, each over its own channel."""
        return self.groups == self.channels == self.filters


def conv_shape(call: OpCall) -> ConvShape | str:
    """The shape of a `conv2d` call, or why no kernel of ours can do it."""
    nchw = bool(call.args["nchw_input"])
    batch, *image = call.operand("x").shape
    channels, height, width = image if nchw else (image[2], image[0], image[1])
    filters, kernel_height, kernel_width, _ = call.operand("weight").shape
    return refusal(call, ("weight", "bias")) or ConvShape(
        batch,
        height,
        width,
        channels,
        filters,
        (kernel_height, kernel_width),
        _pair(call.args["stride"]),
        _pair(call.args["padding"]),
        _pair(call.args["dilation"]),
        int(call.args["groups"]),
        call.args["bias"] is not None,
        call.args["residual"] is not None,
        call.args["act"],
        nchw,
    )


def _pair(value: Any) -> tuple[int, int]:
    """torch's one or two integers as (height, width)."""
    values = [int(v) for v in value]
    return values[0], values[-1]


def plain_conv(shape: ConvShape) -> Any:
    """The algorithm, naively: x, weight [O, kh, kw, I / groups], [bias], [residual] -> result."""
    image = (shape.height, shape.width, shape.channels)
    if shape.nchw:
        image = (shape.channels, shape.height, shape.width)
    depth, per_group = shape.channels // shape.groups, shape.filters // shape.groups
    (kernel_h, kernel_w), (pad_h, pad_w) = shape.kernel, shape.padding
    x = te.placeholder((shape.batch, *image), name="x")
    weight = te.placeholder((shape.filters, kernel_h, kernel_w, depth), name="weight")
    operands = [x, weight]

    def padded(n: Any, y: Any, xx: Any, c: Any) -> Any:
        row, column = y - pad_h, xx - pad_w
        inside = tirx.all(row >= 0, row < shape.height, column >= 0, column < shape.width)
        value = x[n, c, row, column] if shape.nchw else x[n, row, column, c]
        return tirx.if_then_else(inside, value, tirx.const(0.0, "float32"))

    pixels = (shape.batch, shape.height + 2 * pad_h, shape.width + 2 * pad_w, shape.channels)
    source = te.compute(pixels, padded, name="padded")
    ky = te.reduce_axis((0, kernel_h), name="ky")
    kx = te.reduce_axis((0, kernel_w), name="kx")
    kc = te.reduce_axis((0, depth), name="kc")
    out = (shape.batch, shape.out_height, shape.out_width, shape.filters)

    def product(n: Any, y: Any, xx: Any, o: Any) -> Any:
        row = y * shape.stride[0] + ky * shape.dilation[0]
        column = xx * shape.stride[1] + kx * shape.dilation[1]
        channel = o // per_group * depth + kc
        return te.sum(source[n, row, column, channel] * weight[o, ky, kx, kc], [ky, kx, kc])

    result = te.compute(out, product, name="sum")
    if shape.bias:
        bias = te.placeholder((shape.filters,), name="bias")
        operands.append(bias)
        summed = result
        result = te.compute(out, lambda *i: summed[i] + bias[i[3]], name="biased")
    result = te_activation(result, shape.act)
    if shape.residual:
        residual = te.placeholder(out, name="residual")
        operands.append(residual)
        active = result
        result = te.compute(out, lambda *i: active[i] + residual[i], name="out")
    return te_function([*operands, result])
