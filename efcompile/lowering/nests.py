"""A PrimFunc of Relax's, cut into raw kernels: one per top-level loop nest.

Relax's functions are made of *blocks*, each of which computes one whole buffer.  `schedule`
inlines what is cheap, makes outer loops parallel and the innermost a vector where that
divides evenly.  Then each nest becomes a function of our signature (pointers, scratch, begin,
end): its parallel loop is the range of tasks, and buffers between nests are arguments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from efcompile.errors import UnsupportedOpError
from efcompile.targets.target import Target
from efcompile.tvm_api import ForKind, PointerType, PrimType, s_tir, stmt, structural, tirx, tvm

_FLOAT32_MAX = 3.4028234663852886e38


@dataclass(frozen=True)
class Nest:
    """One kernel.  `func` (without a symbol yet) takes a pointer per buffer of `buffers`, those
    it writes last, then scratch (unused), begin and end."""

    func: Any
    buffers: tuple[Any, ...]
    tasks: int


@dataclass(frozen=True)
class Cut:
    """A PrimFunc as kernels run in order.  `params` are its buffers (inputs, then outputs),
    `intermediates` the buffers that only its kernels share."""

    params: tuple[Any, ...]
    intermediates: tuple[Any, ...]
    nests: tuple[Nest, ...]


def cut(func: Any, target: Target) -> Cut:
    """Schedule `func` and cut it.

    Raises `UnsupportedOpError` when a nest needs memory of its own.
    """
    scheduled = schedule(func, target)
    root = scheduled.body.block
    bodies = list(root.body.seq) if isinstance(root.body, stmt.SeqStmt) else [root.body]
    nests = tuple(_nest(body) for body in bodies)
    return Cut(tuple(scheduled.params), tuple(root.alloc_buffers), nests)


def schedule(func: Any, target: Target) -> Any:
    """`func` with its cheap blocks inlined and its loops parallel and vectorised."""
    sch = s_tir.Schedule(func)
    root = sch.get_sblock(func.body.block.name_hint)
    outputs = {sch.get(block).name_hint for block in sch.get_output_blocks(root)}
    # From the end, so that by the time a block is looked at its readers have become one.
    for block in reversed(sch.get_child_blocks(root)):
        if sch.get(block).name_hint not in outputs and _worth_inlining(sch, block):
            try:
                sch.compute_inline(block)
            except s_tir.ScheduleError:
                continue  # not a pointwise block after all: it keeps a nest of its own
    for block in sch.get_child_blocks(root):
        try:
            _tile(sch, block, target)
        except s_tir.ScheduleError:
            continue  # what was done so far is legal; the rest of its loops stay serial
    return sch.mod["main"]


def _reduces(sch: Any, block: Any) -> bool:
    return any(axis.iter_type != _SPATIAL for axis in sch.get(block).iter_vars)


_SPATIAL = 0
"""`tvm.tirx.IterVar.DataPar`."""


def _worth_inlining(sch: Any, block: Any) -> bool:
    """Whether that repeats little: one reader, which does not reduce and reads it once (or a
    few times, if it costs no call)."""
    readers = sch.get_consumers(block)
    if _reduces(sch, block) or len(readers) != 1 or _reduces(sch, readers[0]):
        return False
    produced, reader = sch.get(block), sch.get(readers[0])
    buffer = produced.writes[0].source if produced.writes else None
    loads: list[Any] = []
    calls: list[Any] = []
    structural.structural_walk(reader.body, [(tvm.ir.TensorLoad, loads.append)])
    structural.structural_walk(produced.body, [(tvm.ir.Call, calls.append)])
    times = len([load for load in loads if load.source.same_as(buffer)])
    return times <= (1 if calls else 3)


def _tile(sch: Any, block: Any, target: Target) -> None:
    """Outer spatial loops fused and parallel, reductions inside, a vector innermost."""
    loops, axes = sch.get_loops(block), sch.get(block).iter_vars
    if not loops or len(loops) != len(axes):
        return
    spatial = [loop for loop, axis in zip(loops, axes, strict=True) if axis.iter_type == _SPATIAL]
    reduced = [loop for loop, axis in zip(loops, axes, strict=True) if axis.iter_type != _SPATIAL]
    if not spatial:
        return
    extent, lanes = _extent(sch, spatial[-1]), target.lanes
    while extent % lanes:
        lanes //= 2
    inner = []
    if lanes >= 4:
        spatial[-1], vector = sch.split(spatial[-1], [None, lanes])
        inner = [vector]
    sch.reorder(*spatial, *reduced, *inner)
    # Fusing more than the cores need would only cost divisions.
    count, tasks = 1, _extent(sch, spatial[0])
    while count < len(spatial) and tasks < 4 * target.cores:
        tasks *= _extent(sch, spatial[count])
        count += 1
    sch.parallel(sch.fuse(*spatial[:count]) if count > 1 else spatial[0])
    for loop in inner:
        sch.vectorize(loop)
    if reduced:
        start = sch.decompose_reduction(block, reduced[0])
        if inner:
            sch.vectorize(sch.get_loops(start)[-1])


def _extent(sch: Any, loop: Any) -> int:
    return int(sch.get(loop).extent)


def _nest(body: Any) -> Nest:
    buffers = _buffers(body)
    pointers = [
        tirx.Var(f"p{i}", PointerType(PrimType(str(buffer.dtype))))
        for i, buffer in enumerate(buffers)
    ]
    scratch = tirx.Var("scratch", PointerType(PrimType("float32")))
    begin, end = tirx.Var("begin", "int32"), tirx.Var("end", "int32")
    offsets = {b.elem_offset for b in buffers if isinstance(b.elem_offset, tirx.Var)}
    lines = [stmt.Bind(offset, tirx.IntImm(str(offset.ty.dtype), 0)) for offset in offsets]
    lines += [stmt.DeclBuffer(b, data=p) for b, p in zip(buffers, pointers, strict=True)]
    block = s_tir.SBlock([], [], [], "root", body)
    lines.append(s_tir.SBlockRealize([], tirx.const(True, "bool"), block))
    func = tirx.PrimFunc([*pointers, scratch, begin, end], stmt.SeqStmt(lines), ret_type=None)
    lowered = _lower(func.with_attr({"tirx.noalias": True, "s_tir": True}))
    inside = structural.structural_map(
        lowered.body,
        [((tirx.Max, tirx.Min), _keep_nan), (stmt.BufferStore, _start_at_infinity)],
    )
    own: list[Any] = []
    structural.structural_walk(inside, [(stmt.AllocBuffer, own.append)])
    if own:
        raise UnsupportedOpError("the code that TVM makes of it needs memory inside a loop")
    *declared, loop = list(inside.seq)
    tasks, ranged = _over_tasks(loop, begin, end)
    return Nest(lowered.with_body(stmt.SeqStmt([*declared, ranged])), buffers, tasks)


def _buffers(body: Any) -> tuple[Any, ...]:
    """The buffers that `body` touches, in order of appearance, those it writes last."""
    seen: list[Any] = []
    written: list[Any] = []
    structural.structural_walk(
        body,
        [
            (tirx.Var, lambda var: seen.append(var) if hasattr(var, "elem_offset") else None),
            (stmt.BufferStore, lambda store: written.append(store.buffer)),
        ],
    )
    outputs = _distinct(written)
    inputs = [b for b in _distinct(seen) if not any(b.same_as(o) for o in outputs)]
    return (*inputs, *outputs)


def _distinct(values: Sequence[Any]) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        if not any(value.same_as(other) for other in kept):
            kept.append(value)
    return kept


def _lower(func: Any) -> Any:
    """Blocks become plain loops over flat memory, with 32-bit indices."""
    blocks = s_tir.transform
    passes = [
        blocks.LowerInitBlock(),
        blocks.PlanAndUpdateBufferAllocationLocation(),
        blocks.ConvertBlocksToOpaque(),
        blocks.CompactBufferAllocation(),
        blocks.LowerMatchBuffer(),
        blocks.LowerOpaqueBlock(),
        tirx.transform.FlattenBuffer(),
        tirx.transform.NarrowDataType(32),
        tirx.transform.StmtSimplify(),
        # Both sides of a Select are evaluated: loads that a condition guards must branch.
        blocks.RewriteUnsafeSelect(),
    ]
    return tvm.transform.Sequential(passes)(tvm.IRModule({"nest": func}))["nest"]


def _keep_nan(node: Any) -> Any:
    """``max`` and ``min`` of floats as in torch: NaN on either side wins."""
    if not str(node.ty.dtype).startswith("float"):
        return node
    a = tirx.Var("a", node.a.ty)
    better = a > node.b if isinstance(node, tirx.Max) else a < node.b
    number = a <= tirx.const(inf, str(a.ty.dtype))
    return tirx.Let(a, node.a, tirx.Select(number, tirx.Select(better, a, node.b), a))


def _start_at_infinity(store: Any) -> Any:
    """TVM's ``max`` reductions start at the lowest finite number, torch's at minus infinity."""
    if isinstance(store.value, tirx.FloatImm) and abs(store.value.value) == _FLOAT32_MAX:
        limit = inf if store.value.value > 0 else -inf
        value = tirx.FloatImm(str(store.value.ty.dtype), limit)
        return stmt.BufferStore(store.buffer, value, store.indices)
    return store


def _over_tasks(loop: Any, begin: Any, end: Any) -> tuple[int, Any]:
    """(tasks, code) of a nest: its parallel loop runs over begin .. end; any other is one task."""
    if isinstance(loop, stmt.For) and loop.kind == ForKind.PARALLEL:
        dtype = str(loop.loop_var.ty.dtype)
        first, count = tirx.Cast(dtype, begin), tirx.Cast(dtype, end - begin)
        ranged = stmt.For(loop.loop_var, first, count, ForKind.SERIAL, loop.body)
        return int(loop.extent), ranged
    return 1, stmt.IfThenElse(begin < end, loop, None)
