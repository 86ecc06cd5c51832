"""The geometry of an FFN with a depthwise middle, its refusal reasons and plain algorithm."""

from dataclasses import dataclass
from typing import Any

from efcompile.kernels.kernel import OpCall
from efcompile.kernels.reference import te_activation, te_function
from efcompile.kernels.refusal import refusal
from efcompile.kernels.stencil import Axis
from efcompile.tvm_api import te, tirx

CONSTANTS = ("weight1", "bias1", "depthwise", "depthwise_bias", "weight2", "bias2")
"""The constant operands, in the op's order."""


@dataclass(frozen=True)
class Shape:
    """x [batch, down.size, across.size, k] -> hidden channels c -> [batch, .., .., n]."""

    batch: int
    k: int
    c: int
    n: int
    down: Axis
    across: Axis
    bias1: bool
    depthwise_bias: bool
    bias2: bool
    residual: bool
    act1: str
    act2: str


def shape_of(call: OpCall) -> Shape | str:
    """The shape of an `ffn` call, or why no kernel of ours can do it."""
    batch, height, width, k = call.operand("x").shape
    c, kernel_h, kernel_w, _ = call.operand("depthwise").shape
    stride, padding = call.args["stride"], call.args["padding"]
    return refusal(call, CONSTANTS) or Shape(
        batch,
        k,
        c,
        call.operand("weight2").shape[0],
        Axis(height, kernel_h, int(stride[0]), int(padding[0])),
        Axis(width, kernel_w, int(stride[-1]), int(padding[-1])),
        call.args["bias1"] is not None,
        call.args["depthwise_bias"] is not None,
        call.args["bias2"] is not None,
        call.args["residual"] is not None,
        call.args["act1"],
        call.args["act2"],
    )


def plain(shape: Shape) -> Any:
    """The algorithm, naively: x, weight1, [bias1], depthwise, [depthwise_bias], weight2,
    [bias2], [residual] -> result."""
    down, across = shape.down, shape.across
    x = te.placeholder((shape.batch, down.size, across.size, shape.k), name="x")
    operands = [x]

    def operand(*size: int) -> Any:
        operands.append(te.placeholder(size, name=f"operand{len(operands)}"))
        return operands[-1]

    def biased(y: Any, present: bool) -> Any:
        if not present:
            return y
        bias = operand(int(y.shape[3]))
        return te.compute(y.shape, lambda n, i, j, o: y[n, i, j, o] + bias[o])

    def pointwise(source: Any, outputs: int, inputs: int) -> Any:
        weight = operand(outputs, inputs)
        axis = te.reduce_axis((0, inputs), name="kk")
        return te.compute(
            (*source.shape[:3], outputs),
            lambda n, i, j, o: te.sum(source[n, i, j, axis] * weight[o, axis], axis),
        )

    def middle(source: Any) -> Any:
        taps = operand(shape.c, down.kernel, across.kernel, 1)

        def padded(n: Any, i: Any, j: Any, o: Any) -> Any:
            y, z = i - down.padding, j - across.padding
            inside = tirx.all(y >= 0, y < down.size, z >= 0, z < across.size)
            return tirx.if_then_else(inside, source[n, y, z, o], tirx.const(0.0, "float32"))

        sizes = (down.size + 2 * down.padding, across.size + 2 * across.padding)
        image = te.compute((shape.batch, *sizes, shape.c), padded)
        ky = te.reduce_axis((0, down.kernel), name="ky")
        kx = te.reduce_axis((0, across.kernel), name="kx")
        return te.compute(
            (shape.batch, down.out, across.out, shape.c),
            lambda n, i, j, o: te.sum(
                image[n, i * down.stride + ky, j * across.stride + kx, o] * taps[o, ky, kx, 0],
                [ky, kx],
            ),
        )

    hidden = te_activation(biased(pointwise(x, shape.c, shape.k), shape.bias1), shape.act1)
    mixed = te_activation(biased(middle(hidden), shape.depthwise_bias), shape.act2)
    result = biased(pointwise(mixed, shape.n, shape.c), shape.bias2)
    if shape.residual:
        summed, residual = result, operand(shape.batch, down.out, across.out, shape.n)
        result = te.compute(summed.shape, lambda *i: summed[i] + residual[i])
    return te_function([*operands, result])
