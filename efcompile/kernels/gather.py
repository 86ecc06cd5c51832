"""Gather by a constant index: rows of x in another order."""

from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels.emit import Emitter
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall, contiguous
from efcompile.kernels.reference import te_function
from efcompile.kernels.runs import STORAGE, copy_run
from efcompile.kernels.span import share
from efcompile.targets.target import Target
from efcompile.tvm_api import te


@dataclass(frozen=True)
class Shape:
    """``out[o, i] = x[o, index[i]]``: x [outer, size, inner], index [count]."""

    outer: int
    size: int
    count: int
    inner: int
    dtype: str


@dataclass(frozen=True)
class Knobs:
    """`lanes` per vector; `block` rows of the result make a task."""

    lanes: int
    block: int


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `gather` call, or why it is not one for this kernel."""
    x, index = call.operand("x"), call.constant("index")
    if index is None:
        return "the index is not a constant, so its bounds cannot be checked"
    if x.dtype not in STORAGE:
        return f"elements of type {x.dtype} are not moved by this kernel"
    if prod(call.out.shape) == 0:
        return "the result is empty"
    dim = call.args["dim"] % len(x.shape)
    if index.min() < 0 or index.max() >= x.shape[dim]:
        return f"an index is outside 0 .. {x.shape[dim] - 1}"
    outer, inner = prod(x.shape[:dim]), prod(x.shape[dim + 1 :])
    return Shape(outer, x.shape[dim], index.size, inner, STORAGE[x.dtype])


def plain(shape: Shape) -> Any:
    """The algorithm, naively: x [outer, size, inner], index int64 [count] ->
    [outer, count, inner]."""
    x = te.placeholder((shape.outer, shape.size, shape.inner), name="x", dtype=shape.dtype)
    index = te.placeholder((shape.count,), name="index", dtype="int64")
    out = te.compute(
        (shape.outer, shape.count, shape.inner), lambda o, i, c: x[o, index[i], c], name="out"
    )
    return te_function([x, index, out])


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """A few tasks per core."""
    blocks = -(-4 * target.cores // shape.outer)
    return Knobs(target.lanes, -(-shape.count // blocks))


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """x and the index as int32."""
    return ["x", contiguous(call.value("index").ravel(), "int32")]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, index, out."""
    e = Emitter()
    x, index = e.pointer("x", shape.dtype), e.pointer("index", "int32")
    out = e.pointer("out", shape.dtype)
    e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    blocks = -(-shape.count // knobs.block)

    with e.loop(end - begin, "task", begin) as task:
        row = e.let(task // blocks)
        span = share(e, e.let(task % blocks), blocks, knobs.block, shape.count)
        with e.loop(span.count, "i", span.first) as i:
            taken = e.let(e.load(index, i))
            copy_run(
                e,
                out.at((row * shape.count + i) * shape.inner),
                x.at((row * shape.size + taken) * shape.inner),
                shape.inner,
                knobs.lanes,
            )
    return Built(e.finish(symbol), 0, shape.outer * blocks)


KERNEL = Kernel("gather", "gather", shape_of, plain, default_knobs, pack, build)
