"""A dialect graph becomes a `Program`: a kernel per op, packed constants, one arena."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import GraphModule, Node

from efcompile.errors import UnsupportedOpError
from efcompile.kernels import registry
from efcompile.kernels.kernel import Kernel, OpCall, Operand
from efcompile.kernels.knob_source import SHIPPED, KnobSource
from efcompile.lowering import calls, memory
from efcompile.lowering.groups import group_leftovers
from efcompile.lowering.leftovers import lower_group
from efcompile.lowering.magnitudes import measure
from efcompile.lowering.program import ALIGNMENT, Buffer, BufferKind, Call, KernelFunction, Program
from efcompile.ops import op_of
from efcompile.passes.base import source_of, sources
from efcompile.targets.target import Target

RESHAPE = torch.ops.aten.reshape.default


@dataclass
class _Builder:
    """The program under construction. `home` maps every node to the buffer of its value."""

    graph_module: GraphModule
    target: Target
    source: KnobSource
    home: dict[Node, str] = field(default_factory=dict)
    shapes: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)
    kinds: dict[str, tuple[BufferKind, int]] = field(default_factory=dict)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    kernels: dict[str, KernelFunction] = field(default_factory=dict)
    tasks: dict[str, int] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)

    def buffer(self, name: str, shape: Sequence[int], dtype: str) -> str:
        """Declare an arena buffer."""
        self.shapes[name] = (tuple(int(d) for d in shape), dtype)
        return name

    def constant(self, hint: str, value: NDArray[Any]) -> str:
        """Add a constant and return its buffer's name."""
        name = f"{hint}.{len(self.constants)}"
        self.constants[name] = value
        return name

    def kernel(self, kernel: Kernel, shape: Any) -> tuple[str, Any]:
        """The function for `shape`, shared by every call of equal shape, and its knobs."""
        choice = self.source.choose(kernel, shape, self.target)
        knobs = choice.knobs
        digest = hashlib.sha256(repr((shape, knobs)).encode()).hexdigest()[:12]
        symbol = f"{kernel.name}_{digest}"
        if symbol not in self.kernels:
            built = kernel.build(symbol, shape, self.target, knobs)
            arity = len(built.func.params) - 3
            self.kernels[symbol] = KernelFunction(
                symbol,
                kernel.name,
                built.func,
                arity,
                built.scratch_bytes,
                shape,
                knobs,
                built.chained,
                choice.origin,
                choice.winner,
            )
            self.tasks[symbol] = built.tasks
        return symbol, knobs

    def call(self, node: Node, op_call: OpCall, runtime: dict[str, Node], out: str) -> None:
        """Append the kernel call for one op, writing buffer `out`."""
        found = registry.find(op_call)
        assert not isinstance(found, str), found
        kernel, shape = found
        symbol, knobs = self.kernel(kernel, shape)
        arguments = [
            self.value(runtime[item])
            if isinstance(item, str)
            else self.constant(f"{node.name}.{kernel.name}", item)
            for item in kernel.pack(op_call, shape, knobs)
        ]
        self.calls.append(
            Call(
                symbol,
                (*arguments, out),
                self.tasks[symbol],
                op_call.op,
                sources(node),
                calls.flops_of(node) if op_of(node) else 0,
                calls.bytes_of(node),
            )
        )

    def value(self, node: Node) -> str:
        """The buffer holding `node`'s value; a constant read at run time is added on demand."""
        if node not in self.home:
            array = calls.operand_of(self.graph_module, node).value
            assert array is not None, f"{node.name} has no buffer"
            self.home[node] = self.constant(node.name, array)
        return self.home[node]


def lower(
    graph_module: GraphModule,
    target: Target,
    name: str,
    knobs: KnobSource | None = None,
    examples: Sequence[Tensor] = (),
) -> Program:
    """Lower a legalised (fused or not) graph for `target`, kernels with the `knobs` of that source
    (default: what ships with the package).

    Where a kernel's errors depend on how large activations are, they are measured on `examples`
    of the inputs; without, they are taken to be about one.

    Every node's ``meta["val"]`` must be current.  Raises `UnsupportedOpError` for an op that
    neither a kernel nor the importer handles, naming the op and its module path.
    """
    if target.pairs and examples:
        measure(graph_module, examples)
    builder = _Builder(graph_module, target, SHIPPED if knobs is None else knobs)
    graph = graph_module.graph
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    results = list(next(n for n in graph.nodes if n.op == "output").args[0])
    for position, node in enumerate(inputs):
        operand = calls.operand_of(graph_module, node)
        builder.home[node] = builder.buffer(node.name, operand.shape, operand.dtype)
        builder.kinds[node.name] = ("input", position)

    pending = {n: reason for n in graph.nodes if (reason := _why_leftover(graph_module, n))}
    groups = group_leftovers(graph, set(pending))
    for node in graph.nodes:
        if node.op == "get_attr":
            continue
        if node in pending:
            group = groups[node]
            if node is group[-1]:
                _emit_leftovers(builder, group, pending)
        elif node.op == "call_function":
            _emit(builder, node)
    outputs = [_emit_output(builder, node, i) for i, node in enumerate(results)]
    return _finish(builder, name, [n.name for n in inputs], outputs)


def _why_leftover(graph_module: GraphModule, node: Node) -> str | None:
    if node.op != "call_function" or node.target is RESHAPE:
        return None
    if op_of(node) is None:
        return f"{node.target} is not an op of the dialect"
    found = registry.find(calls.op_call(graph_module, node))
    return found if isinstance(found, str) else None


def _emit(builder: _Builder, node: Node) -> None:
    if node.target is RESHAPE:
        source = node.args[0]
        assert isinstance(source, Node)
        builder.home[node] = builder.value(source)
        return
    call = calls.op_call(builder.graph_module, node)
    out = builder.buffer(node.name, call.out.shape, call.out.dtype)
    builder.call(node, call, calls.runtime_nodes(node), out)
    builder.home[node] = out


def _emit_leftovers(builder: _Builder, group: list[Node], reasons: dict[Node, str]) -> None:
    lowered = lower_group(builder.graph_module, group, builder.target)
    prefix = f"{group[0].name}."
    local = {node.name: builder.value(node) for node in lowered.inputs}
    for hint, array in lowered.constants.items():
        local[hint] = builder.constant(prefix + hint, array)
    for hint, (shape, dtype) in lowered.buffers.items():
        local[hint] = builder.buffer(prefix + hint, shape, dtype)
    for node, hint in lowered.outputs.items():
        builder.home[node] = local[hint]
    origin = tuple(dict.fromkeys(path for node in group for path in sources(node)))
    for call in lowered.calls:
        if call.symbol not in builder.kernels:
            builder.kernels[call.symbol] = KernelFunction(
                call.symbol, "leftover", call.func, len(call.args), 0
            )
        names = tuple(local[a] for a in call.args)
        moved = sum(_bytes(builder, a) for a in names)
        builder.calls.append(Call(call.symbol, names, call.tasks, "leftover", origin, 0, moved))
    builder.leftovers += [f"{n.name} ({source_of(n)}): {reasons[n]}" for n in group]


def _bytes(builder: _Builder, name: str) -> int:
    if name in builder.constants:
        return builder.constants[name].nbytes
    shape, dtype = builder.shapes[name]
    return int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize


def _emit_output(builder: _Builder, node: Node, position: int) -> str:
    """Let the node's buffer be the output, or copy where it cannot be (an input, a constant,
    a value returned twice)."""
    home = builder.value(node)
    if home in builder.shapes and home not in builder.kinds:
        shape = tuple(int(d) for d in node.meta["val"].shape)
        builder.shapes[home] = (shape, builder.shapes[home][1])
        builder.kinds[home] = ("output", position)
        return home
    operand = calls.operand_of(builder.graph_module, node)
    name = builder.buffer(f"output.{position}", operand.shape, operand.dtype)
    builder.kinds[name] = ("output", position)
    if operand.dtype != "float32":
        raise UnsupportedOpError(
            f"output {position} ({source_of(node)}) has dtype {operand.dtype}; return float32"
        )
    flat = Operand(operand.shape, operand.dtype)
    identity = OpCall("permute", {"x": flat, "dims": list(range(len(flat.shape)))}, flat)
    builder.call(node, identity, {"x": node}, name)
    return name


def _finish(builder: _Builder, name: str, inputs: list[str], outputs: list[str]) -> Program:
    buffers: dict[str, Buffer] = {}
    offset = 0
    for constant, array in builder.constants.items():
        buffers[constant] = Buffer(constant, array.shape, array.dtype.name, "constant", offset)
        offset += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
    intervals: dict[str, tuple[int, int]] = {}
    for index, call in enumerate(builder.calls):
        for argument in call.args:
            first, _ = intervals.get(argument, (index, index))
            intervals[argument] = (first, index)
    arena = {n: v for n, v in intervals.items() if n in builder.shapes and n not in builder.kinds}
    offsets, arena_bytes = memory.plan({n: _bytes(builder, n) for n in arena}, arena)
    for buffer, (shape, dtype) in builder.shapes.items():
        if buffer in builder.kinds:
            kind, position = builder.kinds[buffer]
            buffers[buffer] = Buffer(buffer, shape, dtype, kind, position)
        elif buffer in offsets:
            buffers[buffer] = Buffer(buffer, shape, dtype, "arena", offsets[buffer])
    return Program(
        name,
        builder.target,
        buffers,
        builder.constants,
        builder.kernels,
        tuple(builder.calls),
        tuple(inputs),
        tuple(outputs),
        arena_bytes,
        tuple(builder.leftovers),
    )
