"""Concatenation: runs of every operand side by side."""

from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels.emit import Emitter
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.reference import te_function
from efcompile.kernels.runs import GROUP, STORAGE, copy_span
from efcompile.kernels.span import share
from efcompile.targets.target import Target
from efcompile.tvm_api import te, tirx


@dataclass(frozen=True)
class Shape:
    """``out[o] = a[o], b[o], ..`` for `outer` rows; `runs` are the operands' row lengths."""

    outer: int
    runs: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Knobs:
    """`lanes` per vector; `piece` is how many groups of vectors of one operand's row make a
    task (0: a whole row of the result does)."""

    lanes: int
    piece: int


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `concat` call, or why it is not one for this kernel."""
    operands = call.args["tensors"]
    dtypes = {operand.dtype for operand in operands}
    if len(dtypes) > 1:
        return f"the operands' types differ: {', '.join(sorted(dtypes))}"
    dtype = dtypes.pop()
    if dtype not in STORAGE:
        return f"elements of type {dtype} are not moved by this kernel"
    if prod(call.out.shape) == 0:
        return "the result is empty"
    if any(len(operand.shape) != len(call.out.shape) for operand in operands):
        return "an operand has another rank (an empty tensor of one dimension)"
    outer = prod(call.out.shape[: call.args["dim"] % len(call.out.shape)])
    runs = tuple(prod(operand.shape) // outer for operand in operands)
    return Shape(outer, runs, STORAGE[dtype])


def plain(shape: Shape) -> Any:
    """The algorithm, naively: operands [outer, run] -> [outer, sum of runs]."""
    operands = [
        te.placeholder((shape.outer, run), name=f"x{i}", dtype=shape.dtype)
        for i, run in enumerate(shape.runs)
    ]

    def element(o: Any, i: Any) -> Any:
        first = sum(shape.runs[:-1])
        value = operands[-1][o, i - first]
        for operand, run in zip(operands[-2::-1], shape.runs[-2::-1], strict=True):
            end, first = first, first - run
            value = tirx.if_then_else(i < end, operand[o, i - first], value)
        return value

    return te_function([*operands, te.compute((shape.outer, sum(shape.runs)), element, name="out")])


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """Whole rows, unless there are too few for the cores."""
    wanted = 4 * target.cores
    groups = sum(shape.runs) // (GROUP * target.lanes)
    if shape.outer >= wanted or groups < wanted:
        return Knobs(target.lanes, 0)
    return Knobs(target.lanes, -(-groups * shape.outer // wanted))


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """Every operand."""
    return [f"tensors.{i}" for i in range(len(shape.runs))]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: the operands, out."""
    e = Emitter()
    operands = [e.pointer(f"x{i}", shape.dtype) for i in range(len(shape.runs))]
    out = e.pointer("out", shape.dtype)
    e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    groups = [run // (GROUP * knobs.lanes) for run in shape.runs]
    sizes = [knobs.piece or max(1, count) for count in groups]
    parts = [max(1, -(-count // size)) for count, size in zip(groups, sizes, strict=True)]
    tasks = sum(parts) if knobs.piece else 1

    with e.loop(end - begin, "task", begin) as task:
        row, piece = (e.let(task // tasks), e.let(task % tasks)) if tasks > 1 else (task, 0)
        for index, run in enumerate(shape.runs):
            source = operands[index].at(row * run)
            result = out.at(row * sum(shape.runs) + sum(shape.runs[:index]))
            if tasks == 1:
                span = share(e, 0, 1, sizes[index], groups[index])
                copy_span(e, result, source, run, span, knobs.lanes)
                continue
            own = e.let(piece - sum(parts[:index]))
            with e.when(tirx.all(own >= 0, own < parts[index])):
                span = share(e, own, parts[index], sizes[index], groups[index])
                copy_span(e, result, source, run, span, knobs.lanes)
    return Built(e.finish(symbol), 0, shape.outer * tasks)


KERNEL = Kernel("concat", "concat", shape_of, plain, default_knobs, pack, build)
