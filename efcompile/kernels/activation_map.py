"""An activation on its own, over a tensor of any shape."""

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
    """``act`` of `size` elements."""

    size: int
    act: str


def shape_of(call: OpCall) -> Shape | str:
    """The shape of an `activation` call, or why it is not one for this kernel."""
    return refusal(call) or Shape(prod(call.out.shape), call.args["act"])


def plain(shape: Shape) -> Any:
    """x [size] -> [size]."""
    x = te.placeholder((shape.size,), name="x")
    copy = te.compute((shape.size,), lambda i: x[i], name="copy")
    return te_function([x, te_activation(copy, shape.act)])


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
        return VECTOR[shape.act](e, e.let(value), lanes)

    return sweep.map_kernel(symbol, shape.size, knobs, change)


KERNEL = Kernel(
    "activation_map", "activation", shape_of, plain, default_knobs, pack, build, choices, legal
)
