"""Arithmetic: add, sub, mul, div of tensors, and add or mul by a Python number; one matmul."""

from typing import Any

import torch
from torch.fx import Node

from efcompile.capture.builder import Builder, shape_of
from efcompile.capture.spelling import Call, dtype_of, has_value, spelled

aten = torch.ops.aten


def _operand(b: Builder, x: Any) -> Any:
    """`x`, or its value if it is a constant of no dimensions."""
    value = b.value_of(x)
    return value.item() if value is not None and value.ndim == 0 else x


def _same_type(call: Call) -> bool:
    """Whether the result has the type of its first operand, so that numbers stay numbers."""
    return all(dtype_of(x) == call.result.dtype for x in call.args if has_value(x))


def _add(b: Builder, x: Any, y: Any) -> Any:
    return b.emit(aten.add.Tensor, *((x, y) if isinstance(x, Node) else (y, x)))


def _mul(b: Builder, x: Any, y: Any) -> Any:
    return b.emit(aten.mul.Tensor, *((x, y) if isinstance(x, Node) else (y, x)))


@spelled("add.Tensor", "add.Scalar", "sub.Tensor", "sub.Scalar", "subtract.Tensor")
def add(b: Builder, call: Call) -> Any:
    """``self +- alpha * other``; subtracting a number is adding its opposite."""
    if not _same_type(call):
        return b.emit(call.target, *call.args, **call.kwargs)
    x, y = _operand(b, call["self"]), _operand(b, call["other"])
    if not isinstance(x, Node) and not isinstance(y, Node):
        x = call["self"]
    alpha = call.named.get("alpha", 1)
    minus = "sub" in str(call.target)
    if not isinstance(y, Node):
        return _add(b, x, -alpha * y if minus else alpha * y)
    if not minus or not isinstance(x, Node):
        factor = -alpha if minus else alpha
        return _add(b, x, y if factor == 1 else _mul(b, y, factor))
    return b.emit(aten.sub.Tensor, x, y if alpha == 1 else _mul(b, y, alpha))


@spelled("rsub.Tensor", "rsub.Scalar")
def reversed_sub(b: Builder, call: Call) -> Any:
    """``other - alpha * self``."""
    x, y = call["self"], _operand(b, call["other"])
    scaled = x if call["alpha"] == 1 else _mul(b, x, call["alpha"])
    if isinstance(y, Node):
        return b.emit(aten.sub.Tensor, y, scaled)
    return _add(b, _mul(b, scaled, -1), y)


@spelled("mul.Tensor", "mul.Scalar", "multiply.Tensor", "multiply.Scalar")
def multiply(b: Builder, call: Call) -> Any:
    """A product; ``x * sigmoid(x)`` and ``x * hardsigmoid(x)`` are activations."""
    if not _same_type(call):
        return b.emit(call.target, *call.args, **call.kwargs)
    x, y = _operand(b, call["self"]), _operand(b, call["other"])
    if not isinstance(x, Node) and not isinstance(y, Node):
        x = call["self"]
    for gate, gated in ((x, y), (y, x)):
        if isinstance(gate, Node) and gate.op == "call_function" and gate.args[0] is gated:
            if gate.target is aten.sigmoid.default:
                return b.emit(aten.silu.default, gated)
            if gate.target is aten.hardsigmoid.default:
                return b.emit(aten.hardswish.default, gated)
    return _mul(b, x, y)


@spelled("div.Tensor", "div.Scalar", "divide.Tensor", "true_divide.Tensor")
def divide(b: Builder, call: Call) -> Any:
    """A quotient; dividing by a number is multiplying by its reciprocal."""
    if not _same_type(call):
        return b.emit(call.target, *call.args, **call.kwargs)
    x, y = call["self"], _operand(b, call["other"])
    if isinstance(y, Node) or y == 0:
        return b.emit(aten.div.Tensor, x, y)
    return _mul(b, x, 1 / y)


@spelled("neg.default", "negative.default")
def negate(b: Builder, call: Call) -> Any:
    return _mul(b, call["self"], -1)


@spelled("square.default")
def square(b: Builder, call: Call) -> Any:
    return _mul(b, call["self"], call["self"])


@spelled("pow.Tensor_Scalar")
def power(b: Builder, call: Call) -> Any:
    if call["exponent"] == 2:
        return square(b, call)
    return b.emit(call.target, *call.args)


@spelled("matmul.default", "bmm.default", "mm.default", "linalg_matmul.default")
def matmul(b: Builder, call: Call) -> Any:
    """A product of matrices, both operands of at least two dimensions."""
    x, y = call.args[:2]
    rows, columns = shape_of(x), shape_of(y)
    left = x if len(rows) > 1 else b.reshape(x, (1, *rows))
    right = y if len(columns) > 1 else b.reshape(y, (*columns, 1))
    return b.reshape(b.emit(aten.matmul.default, left, right), call.shape)


@spelled("addmm.default", "baddbmm.default")
def add_matmul(b: Builder, call: Call) -> Any:
    """``beta * self + alpha * (x @ y)``."""
    x, y = list(call.named.values())[1:3]
    product = b.emit(aten.matmul.default, x, y)
    if call["alpha"] != 1:
        product = _mul(b, product, call["alpha"])
    if call["beta"] == 0:
        return product
    addend = call["self"] if call["beta"] == 1 else _mul(b, call["self"], call["beta"])
    return _add(b, product, addend)


@spelled("maximum.default", "minimum.default")
def extremum(b: Builder, call: Call) -> Any:
    return b.emit(call.target, call["self"], call["other"])


@spelled("mean.default", "mean.dim")
def mean(b: Builder, call: Call) -> Any:
    """A mean over explicit, sorted dimensions."""
    x = call["self"]
    rank = len(shape_of(x))
    dims = call.named.get("dim") or range(rank)
    over = sorted(d % rank for d in ([dims] if isinstance(dims, int) else dims))
    if call["dtype"] not in (None, dtype_of(x)):
        x = b.emit(aten.to.dtype, x, call["dtype"])
    return b.emit(aten.mean.dim, x, over, bool(call.named.get("keepdim", False)))
