"""Softmax over the last dimension."""

from dataclasses import dataclass
from math import inf, prod
from typing import Any

from efcompile.kernels import sweep
from efcompile.kernels.emit import Emitter, Expr, View, float32, splat
from efcompile.kernels.exponential import weight_exp
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.reduce import add, larger, reduce
from efcompile.kernels.reference import te_function, te_softmax
from efcompile.targets.target import Target
from efcompile.tvm_api import te


@dataclass(frozen=True)
class Shape:
    """``exp(x - max) / sum`` of x [rows, columns] by row."""

    rows: int
    columns: int


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `softmax` call, or why it is not one for this kernel."""
    *rows, columns = call.out.shape
    return call.not_float32() or Shape(prod(rows), columns)


def plain(shape: Shape) -> Any:
    """x [rows, columns] -> [rows, columns]."""
    x = te.placeholder((shape.rows, shape.columns), name="x")
    return te_function([x, te_softmax(x)])


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
    """x."""
    return [call.argument("x")]


def exponentials(e: Emitter, x: View, out: View, columns: int, lanes: int) -> Expr:
    """Store ``exp(x - max)`` of a row of `columns` to `out`; the inverse of their sum.

    The maximum passes NaN over; a NaN or +inf in the row, or nothing but -inf, makes the sum
    NaN, and so every result, as in eager.
    """
    top = reduce(e, columns, lanes, lambda i, n: e.load(x, i, n), larger, -inf)

    def power(index: Expr, width: int) -> Expr:
        shifted = e.let(e.load(x, index, width) - splat(top, width))
        value = e.let(weight_exp(e, shifted, width))
        e.store(out, index, value, width)
        return value

    return e.let(float32(1.0) / reduce(e, columns, lanes, power, add, 0.0), "inverse")


def softmax_row(e: Emitter, x: View, out: View, columns: int, knobs: sweep.Knobs) -> None:
    """The softmax of a row of `columns` from `x` to `out` (which may be `x`)."""
    inverse = exponentials(e, x, out, columns, knobs.lanes)

    def body(index: Expr, lanes: int) -> None:
        e.store(out, index, e.load(out, index, lanes) * splat(inverse, lanes), lanes)

    sweep.sweep_all(e, columns, knobs, body)


def build(symbol: str, shape: Shape, target: Target, knobs: sweep.Knobs) -> Built:
    """Pointers: x, out.  A task is one row."""
    e = Emitter()
    x, out, _ = e.pointer("x"), e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    with e.loop(end - begin, "row", begin) as row:
        start = e.let(row * shape.columns)
        softmax_row(e, x.at(start), out.at(start), shape.columns, knobs)
    return Built(e.finish(symbol), 0, shape.rows)


KERNEL = Kernel("softmax", "softmax", shape_of, plain, default_knobs, pack, build, choices, legal)
