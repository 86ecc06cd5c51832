"""Code of MetaSchedule's own schedules: raw kernels that run where ours do.

A scheduled module goes through TVM's default passes up to where they would wrap it for TVM's
runtime.  Instead its operands become plain pointers, its parallel loops run one after the other,
and what it would ask the runtime's workspace for lies in scratch.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

from efcompile import tvm_api
from efcompile.kernels.kernel import Built
from efcompile.targets.target import Target
from efcompile.tvm_api import ForKind, PointerType, PrimType, s_tir, stmt, structural, tirx, tvm

_ALIGNMENT = 64
_STACK_BYTES = 1024
"""Buffers up to here stay on the stack, as in TVM."""


def expand(symbol: str, module: Any) -> Built:
    """The kernel of a scheduled module's ``main``, for one thread: a single task.

    Pointers are the function's own parameters, constants in the layout that the schedule wants
    (`stock_layout.rewritten`), as from a compiler that packs them ahead of time.
    """
    rewrite = s_tir.transform.RemoveWeightLayoutRewriteBlock(skip_tensor_rewrite=True)
    lowered = _lower(symbol, _raw(rewrite(module)["main"]))
    return _in_scratch(lowered.with_attr("global_symbol", symbol))


def assemble(functions: Sequence[Any], target: Target) -> bytes:
    """The object of functions that `expand` made.

    `tvm_api.build_object` is for functions fresh from a kernel: its passes over these would turn
    vectors at constant places into single elements.
    """
    llvm = tvm.target.Target(tvm_api.tvm_target(target))
    lowering = tirx.transform
    passes = [
        lowering.BindTarget(llvm.with_host(llvm)),
        lowering.LowerTVMBuiltin(),
        lowering.LowerIntrin(),
    ]
    module = tvm.IRModule({str(f.attrs["global_symbol"]): f for f in functions})
    with tvm.transform.PassContext(opt_level=3):
        return tvm_api.assemble(tvm.transform.Sequential(passes)(module), target)


def _raw(function: Any) -> Any:
    """`function` with our signature: a pointer per buffer, scratch, begin and end."""
    pointers = [
        tirx.Var(f"p{i}", PointerType(PrimType(str(buffer.dtype))))
        for i, buffer in enumerate(function.params)
    ]
    scratch = tirx.Var("scratch", PointerType(PrimType("float32")))
    begin, end = tirx.Var("begin", "int32"), tirx.Var("end", "int32")
    declared = [stmt.DeclBuffer(b, data=p) for b, p in zip(function.params, pointers, strict=True)]
    body = structural.structural_map(function.body, [(stmt.For, _serial)])
    raw = tirx.PrimFunc(
        [*pointers, scratch, begin, end], stmt.SeqStmt([*declared, body]), ret_type=None
    )
    return raw.with_attr({"tirx.noalias": True, "s_tir": True})


def _serial(loop: Any) -> Any:
    if loop.kind != ForKind.PARALLEL:
        return loop
    return stmt.For(
        loop.loop_var, loop.min, loop.extent, ForKind.SERIAL, loop.body, None, loop.annotations
    )


def _lower(symbol: str, function: Any) -> Any:
    """The passes of TVM's default pipeline that mean something on a CPU, in its order."""
    blocks, plain = s_tir.transform, tirx.transform
    passes = [
        blocks.CanonicalizeLoop(),
        blocks.LowerInitBlock(),
        blocks.PlanAndUpdateBufferAllocationLocation(),
        blocks.ConvertBlocksToOpaque(),
        blocks.CompactBufferAllocation(),
        blocks.LowerMatchBuffer(),
        blocks.StmtSimplify(),
        blocks.AnnotateIrregularLoop(),
        blocks.LowerOpaqueBlock(),
        plain.FlattenBuffer(),
        plain.NarrowDataType(32),
        blocks.LoopPartition(),
        plain.VectorizeLoop(True),
        plain.StorageRewrite(),
        blocks.HoistIfThenElse(),
        plain.UnrollLoop(),
        blocks.RenormalizeSplitPattern(),
        plain.StmtSimplify(),
        plain.RemoveNoOp(),
        blocks.RewriteUnsafeSelect(),
        plain.CommonSubexprElim(),
    ]
    return tvm.transform.Sequential(passes)(tvm.IRModule({symbol: function}))[symbol]


def _in_scratch(function: Any) -> Built:
    """`function` with its larger buffers at offsets of its scratch pointer."""
    scratch = function.params[-3]
    used = 0

    def place(allocation: Any) -> Any:
        nonlocal used
        buffer = allocation.buffer
        lanes = buffer.dtype.bits * buffer.dtype.lanes
        size = prod(int(extent) for extent in buffer.shape) * lanes // 8
        if size <= _STACK_BYTES:
            return allocation
        pointer = tirx.handle_add_byte_offset(scratch, used)
        used += -(-size // _ALIGNMENT) * _ALIGNMENT
        return stmt.DeclBuffer(buffer, data=pointer)

    body = structural.structural_map(function.body, [(stmt.AllocBuffer, place)])
    return Built(function.with_body(body), used, tasks=1)
