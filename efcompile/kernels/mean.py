"""Mean over neighbouring dimensions."""

from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels.emit import Emitter, Expr, Register, float32
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.reduce import add, reduce
from efcompile.kernels.reference import te_function
from efcompile.kernels.register_tile import vector_widths
from efcompile.kernels.spaces import tasks_legal
from efcompile.targets.target import Target
from efcompile.tvm_api import te


@dataclass(frozen=True)
class Shape:
    """x [outer, size, inner], its mean over the middle: [outer, inner]."""

    outer: int
    size: int
    inner: int


@dataclass(frozen=True)
class Knobs:
    """`lanes` per vector, and for inner > 1 the columns per task, in vectors (the accumulators
    that one pass over the rows keeps): many are independent work, few more tasks."""

    lanes: int
    vectors: int


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `mean` call, or why it is not one for this kernel."""
    shape = call.operand("x").shape
    dims = sorted({d % len(shape) for d in call.args["dims"]} or range(len(shape)))
    wide = [d for d in dims if shape[d] > 1]
    if any(shape[d] > 1 and d not in wide for d in range(wide[0], wide[-1])) if wide else False:
        return "the dimensions are not neighbours"
    first, last = (wide[0], wide[-1]) if wide else (dims[0], dims[0])
    outer, size, inner = shape[:first], shape[first : last + 1], shape[last + 1 :]
    return call.not_float32() or Shape(prod(outer), prod(size), prod(inner))


def plain(shape: Shape) -> Any:
    """x [outer, size, inner] -> [outer, inner]."""
    x = te.placeholder((shape.outer, shape.size, shape.inner), name="x")
    k = te.reduce_axis((0, shape.size), name="kk")
    size = (shape.outer, shape.inner)
    total = te.compute(size, lambda i, j: te.sum(x[i, k, j], k), name="total")
    mean = te.compute(size, lambda i, j: total[i, j] / float(shape.size), name="mean")
    return te_function([x, mean])


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """Eight vectors of columns a task, fewer while cores would be without one."""
    vectors = 8
    while vectors > 1 and shape.outer * shape.inner < target.cores * vectors * target.lanes:
        vectors //= 2
    return Knobs(target.lanes, vectors)


def _blocks(shape: Shape, knobs: Knobs) -> int:
    """Tasks of an outer index."""
    return 1 if shape.inner == 1 else -(-shape.inner // (knobs.vectors * knobs.lanes))


def choices(shape: Shape, target: Target) -> dict[str, tuple[int, ...]]:
    """Columns of a task, if there is more than one."""
    return {"vectors": _VECTORS} if shape.inner > 1 else {}


def legal(shape: Shape, target: Target, knobs: Knobs) -> bool:
    """Whether the sums stay in registers, and tasks are enough."""
    default = default_knobs(shape, target)
    tasks, usual = (shape.outer * _blocks(shape, k) for k in (knobs, default))
    return (
        knobs.lanes == target.lanes
        and knobs.vectors in _VECTORS
        and (shape.inner > 1 or knobs == default)
        and tasks_legal(tasks, usual, target)
    )


_VECTORS = (1, 2, 3, 4, 6, 8, 12)


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """x."""
    return [call.argument("x")]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, out.  A task is some columns of one outer index."""
    e = Emitter()
    x, out, _ = e.pointer("x"), e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    size, inner = shape.size, shape.inner
    factor = 1 / size

    if inner == 1:
        with e.loop(end - begin, "task", begin) as task:
            row = x.at(e.let(task * size))
            total = reduce(e, size, knobs.lanes, lambda i, n: e.load(row, i, n), add, 0.0)
            e.store(out, task, total * float32(factor))
        return Built(e.finish(symbol), 0, shape.outer)

    def columns(outer: Expr, start: Expr, widths: tuple[int, ...]) -> None:
        source = x.at(e.hold(outer * (size * inner) + start))
        totals = [e.register(width, value=float32(0.0, width)) for width in widths]
        sum_rows(e, totals, widths, size, lambda r, c, n: e.load(source, r * inner + c, n))
        column = 0
        for total, width in zip(totals, widths, strict=True):
            value = e.get(total) * float32(factor, width)
            e.store(out, outer * inner + start + column, value, width)
            column += width

    block = knobs.vectors * knobs.lanes
    blocks = _blocks(shape, knobs)
    with e.loop(end - begin, "task", begin) as task:
        outer, number = e.let(task // blocks), e.let(task % blocks)
        if inner >= block:
            with e.when(number < inner // block):
                columns(outer, e.let(number * block), (knobs.lanes,) * knobs.vectors)
        if inner % block:
            with e.when(number == inner // block):
                columns(outer, inner - inner % block, vector_widths(inner % block, knobs.lanes))
    return Built(e.finish(symbol), 0, shape.outer * blocks)


def sum_rows(
    e: Emitter, totals: list[Register], widths: tuple[int, ...], rows: int, load: Any
) -> None:
    """``totals += sum over rows of load(row, column, width)``, in two levels when there are
    many rows, so that rounding errors grow with the root of their number."""
    chunk = 64

    def some(sums: list[Register], first: Expr, count: int) -> None:
        with e.loop(count, "row") as i:
            row = e.let(first + i)
            column = 0
            for total, width in zip(sums, widths, strict=True):
                e.set(total, e.get(total) + load(row, column, width))
                column += width

    whole = rows // chunk if rows > 2 * chunk else 0
    with_chunks = whole * chunk
    if whole:
        with e.loop(whole, "chunk") as number:
            partial = [e.register(width, value=float32(0.0, width)) for width in widths]
            some(partial, e.let(number * chunk), chunk)
            for total, part in zip(totals, partial, strict=True):
                e.set(total, e.get(total) + e.get(part))
    if rows > with_chunks:
        some(totals, with_chunks, rows - with_chunks)


KERNEL = Kernel("mean", "mean", shape_of, plain, default_knobs, pack, build, choices, legal)
