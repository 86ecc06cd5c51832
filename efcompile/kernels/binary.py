"""Two-operand elementwise ops with broadcasting."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels import sweep
from efcompile.kernels.activations import VECTOR
from efcompile.kernels.broadcast import Axis, merged_axes, offsets
from efcompile.kernels.emit import Emitter, Expr, View, maximum, minimum, splat
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.reference import te_activation, te_function
from efcompile.kernels.span import share
from efcompile.targets.target import Target
from efcompile.tvm_api import te, tirx

CODE: dict[str, Callable[[Expr, Expr], Expr]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "maximum": maximum,
    "minimum": minimum,
}
"""Kind (see `efcompile.ops.elementwise.BINARY`) -> vector code."""


@dataclass(frozen=True)
class Shape:
    """``act(a <kind> b)`` over the fewest axes that describe the broadcast, outermost first.

    Along the last axis each stride is 1 or 0.
    """

    axes: tuple[Axis, ...]
    kind: str
    act: str


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `binary` call, or why it is not one for this kernel."""
    kind, act = call.args["kind"], call.args["act"]
    if kind not in CODE or act not in VECTOR:
        return f"no vector code for {kind} with the activation {act}"
    shapes = call.out.shape, call.operand("a").shape, call.operand("b").shape
    return call.not_float32() or Shape(merged_axes(*shapes), kind, act)


def plain(shape: Shape) -> Any:
    """a, b of the merged axes (size 1 where broadcast) -> the merged axes."""
    sizes = [axis.size for axis in shape.axes]
    a = te.placeholder([x.size if x.a else 1 for x in shape.axes], name="a")
    b = te.placeholder([x.size if x.b else 1 for x in shape.axes], name="b")

    def value(*index: Any) -> Any:
        left = a(*[i if axis.a else 0 for i, axis in zip(index, shape.axes, strict=True)])
        right = b(*[i if axis.b else 0 for i, axis in zip(index, shape.axes, strict=True)])
        return _SCALAR.get(shape.kind, CODE[shape.kind])(left, right)

    y = te.compute(sizes, value, name="pair")
    return te_function([a, b, te_activation(y, shape.act)])


def _select(better: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def choose(a: Any, b: Any) -> Any:
        return tirx.Select(tirx.any(better(a, b), tirx.isnan(a)), a, b)

    return choose


_SCALAR = {"maximum": _select(lambda a, b: a > b), "minimum": _select(lambda a, b: a < b)}


def default_knobs(shape: Shape, target: Target) -> sweep.Knobs:
    """See `sweep.default_knobs`."""
    return sweep.default_knobs(target)


def choices(shape: Shape, target: Target) -> dict[str, tuple[int, ...]]:
    """See `sweep.choices`."""
    return sweep.choices(shape.axes[-1].size, target)


def legal(shape: Shape, target: Target, knobs: sweep.Knobs) -> bool:
    """See `sweep.legal`."""
    return sweep.legal(
        knobs, target, shape.axes[-1].size, prod(axis.size for axis in shape.axes[:-1])
    )


def pack(call: OpCall, shape: Shape, knobs: sweep.Knobs) -> list[str | Array]:
    """a, b."""
    return [call.argument("a"), call.argument("b")]


def build(symbol: str, shape: Shape, target: Target, knobs: sweep.Knobs) -> Built:
    """Pointers: a, b, out.  A task is a part of one row: of the last axis."""
    e = Emitter()
    a, b, out = e.pointer("a"), e.pointer("b"), e.pointer("out")
    e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    *outer, inner = shape.axes
    rows, parts = prod(axis.size for axis in outer), knobs.parts(inner.size)

    def read(view: View, stride: int, index: Expr, lanes: int) -> Expr:
        return e.load(view, index, lanes) if stride else splat(e.load(view), lanes)

    with e.loop(end - begin, "task", begin) as task:
        row, part = e.let(task // parts), e.let(task % parts)
        start_a, start_b = offsets(e, tuple(outer), row)
        left, right = a.at(start_a), b.at(start_b)
        result = out.at(e.let(row * inner.size))

        def body(index: Expr, lanes: int) -> None:
            pair = read(left, inner.a, index, lanes), read(right, inner.b, index, lanes)
            value = e.let(CODE[shape.kind](*pair))
            e.store(result, index, VECTOR[shape.act](e, value, lanes), lanes)

        span = share(e, part, parts, knobs.task_blocks, inner.size // knobs.block)
        sweep.sweep(e, inner.size, knobs, span, body)
    return Built(e.finish(symbol), 0, rows * parts)


KERNEL = Kernel("binary", "binary", shape_of, plain, default_knobs, pack, build, choices, legal)
