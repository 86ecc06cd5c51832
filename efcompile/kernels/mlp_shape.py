"""The geometry of a pointwise MLP, its refusal reasons and plain algorithm."""

from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels.kernel import OpCall
from efcompile.kernels.reference import te_activation, te_function
from efcompile.kernels.refusal import refusal
from efcompile.tvm_api import te


@dataclass(frozen=True)
class Shape:
    """``act(x[m, k] @ w1[h, k].T + b1) @ w2[n, h].T + b2 + residual[m, n]``, the m rows of
    so many images."""

    images: int
    m: int
    n: int
    k: int
    h: int
    bias1: bool
    bias2: bool
    residual: bool
    act: str


def shape_of(call: OpCall) -> Shape | str:
    """The shape of an `mlp` call, or why it is not one for this kernel."""
    x, weight1, weight2 = (call.operand(name) for name in ("x", "weight1", "weight2"))
    return refusal(call, ("weight1", "weight2", "bias1", "bias2")) or Shape(
        x.shape[0],
        prod(x.shape[:-1]),
        weight2.shape[0],
        weight1.shape[1],
        weight1.shape[0],
        call.args["bias1"] is not None,
        call.args["bias2"] is not None,
        call.args["residual"] is not None,
        call.args["act"],
    )


def plain(shape: Shape) -> Any:
    """The algorithm, naively: x, weight1, [bias1], weight2, [bias2], [residual] -> [m, n]."""
    x = te.placeholder((shape.m, shape.k), name="x")
    operands = [x]

    def linear(source: Any, n: int, k: int, bias: bool, name: str) -> Any:
        weight = te.placeholder((n, k), name=f"{name}_weight")
        operands.append(weight)
        axis = te.reduce_axis((0, k), name="kk")
        y = te.compute((shape.m, n), lambda i, j: te.sum(source[i, axis] * weight[j, axis], axis))
        if not bias:
            return y
        shift = te.placeholder((n,), name=f"{name}_bias")
        operands.append(shift)
        return te.compute((shape.m, n), lambda i, j: y[i, j] + shift[j])

    hidden = linear(x, shape.h, shape.k, shape.bias1, "up")
    result = linear(te_activation(hidden, shape.act), shape.n, shape.h, shape.bias2, "down")
    if shape.residual:
        residual = te.placeholder((shape.m, shape.n), name="residual")
        operands.append(residual)
        summed = result
        result = te.compute((shape.m, shape.n), lambda i, j: summed[i, j] + residual[i, j])
    return te_function([*operands, result])
