"""Multiplication by one number and addition of another."""

from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels import sweep
from efcompile.kernels.emit import Emitter, Expr, float32
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.reference import te_function
from efcompile.targets.target import Target
from efcompile.tvm_api import te, tirx


@dataclass(frozen=True)
class Shape:
    """``x * multiply + add`` of `size` elements."""

    size: int
    multiply: float
    add: float


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `scalar` call, or why it is not one for this kernel."""
    numbers = float(call.args["multiply"]), float(call.args["add"])
    return call.not_float32() or Shape(prod(call.out.shape), *numbers)


def plain(shape: Shape) -> Any:
    """x [size] -> [size]."""
    x = te.placeholder((shape.size,), name="x")
    multiply, add = (tirx.const(v, "float32") for v in (shape.multiply, shape.add))
    return te_function([x, te.compute((shape.size,), lambda i: x[i] * multiply + add, name="out")])


def default_knobs(shape: Shape, target: Target) -> sweep.Knobs:
    """See `sweep.default_knobs`."""
    return sweep.default_knobs(target)


def choices(shape: Shape, target: Target) -> dict[str, tuple[int, ...]]:
    """See `sweep.choices`."""
    return sweep.choices(shape.size, target)


def legal(shape: Shape, target: Target, knobs: sweep.Knobs) -> bool:
    """See `sweep.legal`."""
    return sweep.legal(knobs, target, shape.size)


def pack(call: OpCall, shape: Shape, knobs: sweep.Knobs) -> list[str | Array]:
    """x."""
    return [call.argument("x")]


def build(symbol: str, shape: Shape, target: Target, knobs: sweep.Knobs) -> Built:
    """Pointers: x, out."""

    def change(e: Emitter, value: Expr, lanes: int) -> Expr:
        return value * float32(shape.multiply, lanes) + float32(shape.add, lanes)

    return sweep.map_kernel(symbol, shape.size, knobs, change)


KERNEL = Kernel("scalar_map", "scalar", shape_of, plain, default_knobs, pack, build, choices, legal)
