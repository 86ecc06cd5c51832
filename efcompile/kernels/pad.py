"""Constant padding: every row of the result is filled, copied, filled."""

from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels.emit import Emitter, Expr, float32
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.reference import te_function
from efcompile.kernels.runs import copy_run, fill_run
from efcompile.targets.target import Target
from efcompile.tvm_api import te, tirx

Extent = tuple[int, int, int]
"""(before, size, after): the padding around `size` elements of x."""


@dataclass(frozen=True)
class Shape:
    """x of the middle sizes, `value` around it; dimensions merged so that only the last of
    `outer` + `row` is a run in memory."""

    outer: tuple[Extent, ...]
    row: Extent
    value: float


@dataclass(frozen=True)
class Knobs:
    """`lanes` per vector. Every row of the result is a task."""

    lanes: int


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `pad` call, or why it is not one for this kernel."""
    x, pads = call.operand("x"), list(call.args["pads"])
    if any(amount < 0 for amount in pads):
        return "a negative pad cuts instead of padding"
    if prod(x.shape) == 0:
        return "the operand is empty"
    pads += [0] * (2 * len(x.shape) - len(pads))
    extents = [
        (pads[2 * d], size, pads[2 * d + 1]) for d, size in enumerate(reversed(x.shape))
    ]  # last dimension first
    inner = 1
    while len(extents) > 1 and _padding(extents[0]) == 0:
        inner *= extents.pop(0)[1]
    before, size, after = extents[0] if extents else (0, 1, 0)
    outer: list[Extent] = []
    for extent in extents[1:]:
        if outer and _padding(extent) == _padding(outer[0]) == 0:
            outer[0] = (0, outer[0][1] * extent[1], 0)
        elif extent != (0, 1, 0):
            outer.insert(0, extent)
    row = (before * inner, size * inner, after * inner)
    return call.not_float32() or Shape(tuple(outer), row, float(call.args["value"]))


def _padding(extent: Extent) -> int:
    return extent[0] + extent[2]


def plain(shape: Shape) -> Any:
    """The algorithm, naively: x of the middle sizes -> the padded sizes."""
    extents = [*shape.outer, shape.row]
    x = te.placeholder([size for _, size, _ in extents], name="x")

    def element(*at: Any) -> Any:
        inside: Any = tirx.const(True, "bool")
        for i, (before, size, _) in zip(at, extents, strict=True):
            inside = tirx.all(inside, i >= before, i < before + size)
        taken = x[tuple(i - before for i, (before, _, _) in zip(at, extents, strict=True))]
        return tirx.if_then_else(inside, taken, tirx.const(shape.value, "float32"))

    return te_function([x, te.compute([sum(extent) for extent in extents], element, name="out")])


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """Full vectors."""
    return Knobs(target.lanes)


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """x alone."""
    return ["x"]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, out."""
    e = Emitter()
    x, out = e.pointer("x"), e.pointer("out")
    e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    value = float32(shape.value)
    before, size, after = shape.row
    rows = prod(sum(extent) for extent in shape.outer)

    with e.loop(end - begin, "task", begin) as task:
        result = out.at(task * sum(shape.row))
        inside: Expr = tirx.const(True, "bool")
        source: Expr = 0
        rest: Expr = task
        stride = 1
        for lead, count, trail in reversed(shape.outer):
            index = e.let(rest % (lead + count + trail))
            rest = e.let(rest // (lead + count + trail))
            if lead + trail:
                inside = tirx.all(inside, index >= lead, index < lead + count)
            source = source + (index - lead) * stride
            stride *= count
        with e.when(inside):
            fill_run(e, result, value, before, knobs.lanes)
            copy_run(e, result.at(before), x.at(source * size), size, knobs.lanes)
            fill_run(e, result.at(before + size), value, after, knobs.lanes)
        if any(map(_padding, shape.outer)):
            with e.when(tirx.Not(inside)):
                fill_run(e, result, value, sum(shape.row), knobs.lanes)
    return Built(e.finish(symbol), 0, rows)


KERNEL = Kernel("pad", "pad", shape_of, plain, default_knobs, pack, build)
