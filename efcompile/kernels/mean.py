"""Means over any dimensions: down the columns of channels-last data, or along rows."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels.columns import add_to, column_sums, zeros
from efcompile.kernels.emit import Emitter, Expr, View, float32, int32
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.reduce import add, reduce
from efcompile.kernels.reference import te_function
from efcompile.kernels.tile import vector_widths
from efcompile.targets.target import Target
from efcompile.tvm_api import te


@dataclass(frozen=True)
class Axis:
    """Adjacent dimensions that are all averaged over, or all kept."""

    size: int
    averaged: bool


@dataclass(frozen=True)
class Shape:
    """The mean of a contiguous x over the `averaged` ones of its `axes`, which alternate."""

    axes: tuple[Axis, ...]

    @property
    def averaged(self) -> int:
        """Elements that make one result."""
        return prod(axis.size for axis in self.axes if axis.averaged)

    @property
    def kept(self) -> tuple[int, ...]:
        """The result's dimensions."""
        return tuple(axis.size for axis in self.axes if not axis.averaged)


@dataclass(frozen=True)
class Knobs:
    """`lanes` of a vector, and the `vectors` of channels summed together."""

    lanes: int
    vectors: int

    @property
    def block(self) -> int:
        """Channels summed together."""
        return self.lanes * self.vectors


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `mean` call, or why it is not one for this kernel."""
    x = call.operand("x").shape
    # As in eager, no dimensions means all.
    averaged = {d % len(x) for d in call.args["dims"]} or set(range(len(x)))
    axes: list[Axis] = []
    for d, size in enumerate(x):
        if size == 1:
            continue
        if axes and axes[-1].averaged == (d in averaged):
            size *= axes.pop().size
        axes.append(Axis(size, d in averaged))
    return call.not_float32() or Shape(tuple(axes) or (Axis(1, False),))


def plain(shape: Shape) -> Any:
    """x [axes] -> [the kept axes, or one element]."""
    x = te.placeholder([axis.size for axis in shape.axes], name="x")
    over = [te.reduce_axis((0, axis.size)) for axis in shape.axes if axis.averaged]
    size = shape.kept or (1,)

    def total(*index: Any) -> Any:
        kept, averaged = iter(index), iter(over)
        value = x(*(next(averaged) if axis.averaged else next(kept) for axis in shape.axes))
        return te.sum(value, over) if over else value

    sums = te.compute(size, total, name="total")
    return te_function([x, te.compute(size, lambda *i: sums(*i) / float(shape.averaged))])


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """Four vectors: long runs of every row, and room for the sums of several rows."""
    return Knobs(target.lanes, 4)


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """x."""
    return [call.argument("x")]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, out.  A task is one result if the last axis is averaged, else a block of
    channels."""
    e = Emitter()
    x, out, _ = e.pointer("x"), e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    tasks = prod(shape.kept)
    make = _along_rows
    if not shape.axes[-1].averaged:
        tasks = tasks // shape.kept[-1] * -(-shape.kept[-1] // knobs.block)
        make = _down_columns
    with e.loop(end - begin, "task", begin) as task:
        make(e, x, out, task, shape, knobs)
    return Built(e.finish(symbol), 0, tasks)


def _along_rows(e: Emitter, x: View, out: View, task: Expr, shape: Shape, knobs: Knobs) -> None:
    """Result `task`: its runs of consecutive elements, each summed as in `reduce`."""
    *outer, last = shape.axes
    row = x.at(_offset(e, shape, task, len(outer)))
    total = e.register(1, value=float32(0.0))

    def take(start: Expr) -> None:
        def load(index: Expr, lanes: int) -> Expr:
            return e.load(row, start + index, lanes)

        e.set(total, e.get(total) + reduce(e, last.size, knobs.lanes, load, add, 0.0))

    _over(e, shape, len(outer), take)
    e.store(out, task, e.get(total) * float32(1 / shape.averaged))


def _down_columns(e: Emitter, x: View, out: View, task: Expr, shape: Shape, knobs: Knobs) -> None:
    """A block of channels: the sums of its rows, the innermost averaged axis as the rows."""
    channels = shape.axes[-1].size
    blocks = -(-channels // knobs.block)
    image, block = e.let(task // blocks), e.let(task % blocks)
    first = e.let(block * knobs.block)
    source = x.at(_offset(e, shape, image, len(shape.axes) - 1)).at(first)
    result = out.at(e.hold(image * channels)).at(first)
    averages = len(shape.axes) > 1
    rows = shape.axes[-2].size if averages else 1

    def sums_of(widths: tuple[int, ...]) -> None:
        totals = zeros(e, widths)

        def take(start: Expr) -> None:
            def load(row: Expr, column: int, lanes: int) -> Expr:
                return e.load(source, start + row * channels + column, lanes)

            add_to(e, totals, column_sums(e, rows, widths, load))

        _over(e, shape, len(shape.axes) - 2, take)
        column = 0
        for total in totals:
            share = float32(1 / shape.averaged, total.lanes)
            e.store(result, column, e.get(total) * share, total.lanes)
            column += total.lanes

    whole, rest = channels // knobs.block, channels % knobs.block
    if rest == 0:
        sums_of((knobs.lanes,) * knobs.vectors)
        return
    if whole:
        with e.when(block < int32(whole)):
            sums_of((knobs.lanes,) * knobs.vectors)
    with e.when(block == int32(whole)):
        sums_of(vector_widths(rest, knobs.lanes))


def _stride(shape: Shape, position: int) -> int:
    return prod(axis.size for axis in shape.axes[position + 1 :])


def _offset(e: Emitter, shape: Shape, index: Expr, count: int) -> Expr:
    """Where in x the kept ones of the first `count` axes are at row-major `index`."""
    kept = [d for d in range(count) if not shape.axes[d].averaged]
    offset: Expr = 0
    for d in reversed(kept):
        step = index if d == kept[0] else e.let(index % shape.axes[d].size)
        offset = offset + step * _stride(shape, d)
        index = index if d == kept[0] else e.let(index // shape.axes[d].size)
    return e.hold(offset)


def _over(e: Emitter, shape: Shape, count: int, body: Callable[[Expr], None]) -> None:
    """``body(offset)`` for every index of the averaged ones of the first `count` axes."""

    def nest(d: int, offset: Expr) -> None:
        if d >= count:
            body(offset)
        elif not shape.axes[d].averaged:
            nest(d + 1, offset)
        else:
            with e.loop(shape.axes[d].size, "over") as index:
                nest(d + 1, e.let(offset + index * _stride(shape, d)))

    nest(0, 0)


KERNEL = Kernel("mean", "mean", shape_of, plain, default_knobs, pack, build)
