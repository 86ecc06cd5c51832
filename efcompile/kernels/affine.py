"""The per-channel multiply-add that a batch norm is at inference."""

from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels import sweep
from efcompile.kernels.activations import VECTOR
from efcompile.kernels.emit import Emitter, Expr
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.reference import te_activation, te_function
from efcompile.kernels.refusal import refusal
from efcompile.targets.target import Target
from efcompile.tvm_api import te


@dataclass(frozen=True)
class Shape:
    """``act(x[rows, channels] * scale[channels] + shift[channels])``."""

    rows: int
    channels: int
    act: str


def shape_of(call: OpCall) -> Shape | str:
    """The shape of an `affine` call, or why it is not one for this kernel."""
    channels = call.out.shape[-1]
    return refusal(call) or Shape(prod(call.out.shape[:-1]), channels, call.args["act"])


def plain(shape: Shape) -> Any:
    """x [rows, channels], scale [channels], shift [channels] -> [rows, channels]."""
    x = te.placeholder((shape.rows, shape.channels), name="x")
    scale = te.placeholder((shape.channels,), name="scale")
    shift = te.placeholder((shape.channels,), name="shift")
    y = te.compute(x.shape, lambda i, c: x[i, c] * scale[c] + shift[c], name="affine")
    return te_function([x, scale, shift, te_activation(y, shape.act)])


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
    """x, scale, shift."""
    return [call.argument("x"), call.argument("scale"), call.argument("shift")]


def build(symbol: str, shape: Shape, target: Target, knobs: sweep.Knobs) -> Built:
    """Pointers: x, scale, shift, out.  A task is one row."""
    e = Emitter()
    x, scale, shift = e.pointer("x"), e.pointer("scale"), e.pointer("shift")
    out, _ = e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")

    with e.loop(end - begin, "row", begin) as row:
        start = e.let(row * shape.channels, "row_start")

        def body(c: Expr, lanes: int) -> None:
            value = e.load(x, start + c, lanes) * e.load(scale, c, lanes)
            value = e.let(value + e.load(shift, c, lanes))
            e.store(out, start + c, VECTOR[shape.act](e, value, lanes), lanes)

        sweep.sweep_all(e, shape.channels, knobs, body)
    return Built(e.finish(symbol), 0, shape.rows)


KERNEL = Kernel("affine", "affine", shape_of, plain, default_knobs, pack, build, choices, legal)
