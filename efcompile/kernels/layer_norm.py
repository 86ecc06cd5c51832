"""Layer norm over the last dimension, two-pass."""

from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels import sweep
from efcompile.kernels.emit import Emitter, Expr, View, splat
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.reduce import moments
from efcompile.kernels.reference import te_function, te_normalise
from efcompile.targets.target import Target
from efcompile.tvm_api import te


@dataclass(frozen=True)
class Shape:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` of x [rows, channels] by row."""

    rows: int
    channels: int
    weight: bool
    bias: bool
    eps: float


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `layer_norm` call, or why it is not one for this kernel."""
    affine = call.args["weight"] is not None, call.args["bias"] is not None
    *rows, channels = call.out.shape
    return call.not_float32() or Shape(prod(rows), channels, *affine, call.args["eps"])


def plain(shape: Shape) -> Any:
    """x [rows, channels], [weight [channels]], [bias [channels]] -> [rows, channels]."""
    x = te.placeholder((shape.rows, shape.channels), name="x")
    y = te_normalise(x, shape.eps)
    operands = [x]
    if shape.weight:
        weight, normal = te.placeholder((shape.channels,), name="weight"), y
        operands.append(weight)
        y = te.compute(x.shape, lambda i, c: normal[i, c] * weight[c], name="scaled")
    if shape.bias:
        bias, scaled = te.placeholder((shape.channels,), name="bias"), y
        operands.append(bias)
        y = te.compute(x.shape, lambda i, c: scaled[i, c] + bias[c], name="shifted")
    return te_function([*operands, y])


def default_knobs(shape: Shape, target: Target) -> sweep.Knobs:
    """See `sweep.default_knobs`."""
    return sweep.default_knobs(target)


def choices(shape: Shape, target: Target) -> dict[str, tuple[int, ...]]:
    """Vectors an iteration; a task is a row whatever they are."""
    return {"vectors": sweep.VECTORS}


def legal(shape: Shape, target: Target, knobs: sweep.Knobs) -> bool:
    """See `sweep.legal`."""
    return sweep.legal(knobs, target)


def pack(call: OpCall, shape: Shape, knobs: sweep.Knobs) -> list[str | Array]:
    """x, [weight], [bias]."""
    return [call.argument("x"), *call.present("weight", "bias")]


def normalise_row(
    e: Emitter,
    x: View,
    out: View,
    channels: int,
    eps: float,
    knobs: sweep.Knobs,
    weight: View | None = None,
    bias: View | None = None,
) -> None:
    """One row of `channels` from `x` to `out`, with the affine part that is given."""
    mean, scale = moments(e, x, channels, knobs.lanes, eps)

    def body(c: Expr, lanes: int) -> None:
        value = (e.load(x, c, lanes) - splat(mean, lanes)) * splat(scale, lanes)
        if weight is not None:
            value = value * e.load(weight, c, lanes)
        if bias is not None:
            value = value + e.load(bias, c, lanes)
        e.store(out, c, value, lanes)

    sweep.sweep_all(e, channels, knobs, body)


def build(symbol: str, shape: Shape, target: Target, knobs: sweep.Knobs) -> Built:
    """Pointers: x, [weight], [bias], out.  A task is one row."""
    e = Emitter()
    x = e.pointer("x")
    weight = e.optional("weight", shape.weight)
    bias = e.optional("bias", shape.bias)
    out, _ = e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    with e.loop(end - begin, "row", begin) as row:
        start = e.let(row * shape.channels)
        normalise_row(e, x.at(start), out.at(start), shape.channels, shape.eps, knobs, weight, bias)
    return Built(e.finish(symbol), 0, shape.rows)


KERNEL = Kernel(
    "layer_norm", "layer_norm", shape_of, plain, default_knobs, pack, build, choices, legal
)
