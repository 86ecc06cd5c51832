"""Pieces of the plain algorithms: naive `te` activations and the PrimFunc around a stage."""

from collections.abc import Callable, Sequence
from typing import Any

from efcompile.tvm_api import te, tirx


def _libm(name: str, x: Any) -> Any:
    return tirx.call_pure_extern("float32", name, x)


def _relu(x: Any) -> Any:
    return tirx.Select(x < tirx.const(0.0, "float32"), tirx.const(0.0, "float32"), x)


def _relu6(x: Any) -> Any:
    low = _relu(x)
    return tirx.Select(low > tirx.const(6.0, "float32"), tirx.const(6.0, "float32"), low)


def _sigmoid(x: Any) -> Any:
    one = tirx.const(1.0, "float32")
    return one / (one + _libm("expf", tirx.const(0.0, "float32") - x))


def _hardsigmoid(x: Any) -> Any:
    return _relu6(x + tirx.const(3.0, "float32")) / tirx.const(6.0, "float32")


SCALAR: dict[str, Callable[[Any], Any]] = {
    "none": lambda x: x,
    "relu": _relu,
    "relu6": _relu6,
    "gelu": lambda x: x * (0.5 + 0.5 * _libm("erff", x * 0.7071067811865476)),
    "gelu_tanh": lambda x: (
        0.5 * x * (1.0 + _libm("tanhf", 0.7978845608028654 * (x + 0.044715 * x * x * x)))
    ),
    "silu": lambda x: x * _sigmoid(x),
    "hardswish": lambda x: x * _hardsigmoid(x),
    "hardsigmoid": _hardsigmoid,
    "sigmoid": _sigmoid,
    "tanh": lambda x: _libm("tanhf", x),
    "exp": lambda x: _libm("expf", x),
}
"""Activation name -> scalar expression through libm."""


def te_activation(x: Any, act: str) -> Any:
    """A `te` stage applying `act` to every element of `x`."""
    if act == "none":
        return x
    return te.compute(x.shape, lambda *i: SCALAR[act](x[i]), name="act")


def te_normalise(x: Any, eps: float) -> Any:
    """Stages that normalise each row of x [rows, columns]."""
    rows, columns = (int(d) for d in x.shape)
    k = te.reduce_axis((0, columns), name="kk")
    total = te.compute((rows,), lambda i: te.sum(x[i, k], k), name="total")
    mean = te.compute((rows,), lambda i: total[i] / float(columns), name="mean")
    c = te.reduce_axis((0, columns), name="cc")
    spread = te.compute(
        (rows,),
        lambda i: te.sum((x[i, c] - mean[i]) * (x[i, c] - mean[i]), c),
        name="spread",
    )
    # "root" is what a schedule calls the block around all.
    deviation = te.compute(
        (rows,), lambda i: tirx.sqrt(spread[i] / float(columns) + eps), name="deviation"
    )
    return te.compute(x.shape, lambda i, j: (x[i, j] - mean[i]) / deviation[i], name="normal")


def te_softmax(x: Any) -> Any:
    """Stages that take the softmax of each row of x [rows, columns]."""
    rows, columns = (int(d) for d in x.shape)
    k = te.reduce_axis((0, columns), name="kk")
    top = te.compute((rows,), lambda i: te.max(x[i, k], k), name="top")
    power = te.compute(x.shape, lambda i, j: _libm("expf", x[i, j] - top[i]), name="power")
    c = te.reduce_axis((0, columns), name="cc")
    total = te.compute((rows,), lambda i: te.sum(power[i, c], c), name="total")
    return te.compute(x.shape, lambda i, j: power[i, j] / total[i], name="softmax")


def te_function(tensors: Sequence[Any]) -> Any:
    """The PrimFunc whose arguments are `tensors`: the operands, then the result."""
    return te.create_prim_func(list(tensors), index_dtype_override="int64")
