"""A group of leftover nodes as a small exported program of ops whose import is tested."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.func import functionalize
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from efcompile.errors import UnsupportedOpError
from efcompile.lowering.decompositions import PRIMITIVES, decompositions
from efcompile.ops import op_of
from efcompile.passes.base import constant, source_of


@dataclass(frozen=True)
class Primitives:
    """`program` computes the values of `outputs` (nodes of the group that others read) from
    those of `inputs` (nodes outside it), both in the program's order."""

    program: ExportedProgram
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]


def decompose(graph_module: GraphModule, group: Sequence[Node]) -> Primitives:
    """Decompose the nodes of `group` into `PRIMITIVES`.

    Constants they read become constants of the program; what depends on nothing else is
    computed here.  Raises `UnsupportedOpError` naming the op and the modules it came from.
    """
    module, inputs, outputs = _extract(graph_module, group)
    examples = tuple(_example(node.meta["val"]) for node in inputs)
    try:
        # Twice: torch's decompositions mutate values of their own.
        traced = _trace(_trace(module, examples), examples)
    except Exception as error:
        raise UnsupportedOpError(f"{describe(group)} cannot be traced again: {error}") from error
    _fold_constants(traced)
    for node in traced.graph.nodes:
        reason = _refusal(node)
        if reason is not None:
            raise UnsupportedOpError(
                f"{describe(group)}: {reason}; rewrite the module with other ops, or exclude it"
            )
    program = torch.export.export(traced, examples)
    return Primitives(program, tuple(inputs), tuple(outputs))


def describe(group: Sequence[Node]) -> str:
    """The group in an error message: its ops and the modules they came from."""
    found = list(dict.fromkeys(f"{node.target} ({source_of(node)})" for node in group))
    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    return ", ".join(found[:8]) + more


def _extract(
    graph_module: GraphModule, group: Sequence[Node]
) -> tuple[GraphModule, list[Node], list[Node]]:
    """The group as a module of its own; dialect ops become their references."""
    members = set(group)
    outside = dict.fromkeys(n for node in group for n in node.all_input_nodes if n not in members)
    outputs = [node for node in group if any(user not in members for user in node.users)]
    graph, holder = Graph(), torch.nn.Module()
    copies: dict[Node, Node] = {}
    inputs = [node for node in outside if constant(graph_module, node) is None]
    for node in inputs:
        copies[node] = graph.placeholder(node.name)
    for index, node in enumerate(node for node in outside if node not in copies):
        holder.register_buffer(f"constant_{index}", constant(graph_module, node))
        copies[node] = graph.get_attr(f"constant_{index}")
    for node in group:
        copies[node] = graph.node_copy(node, copies.__getitem__)
        op = op_of(node)
        if op is not None:
            copies[node].target = op.reference
    graph.output(tuple(copies[node] for node in outputs))
    return GraphModule(holder, graph), inputs, outputs


def _trace(module: GraphModule, examples: tuple[Tensor, ...]) -> GraphModule:
    traced: GraphModule = make_fx(
        functionalize(module, remove="mutations"),
        decomposition_table=decompositions(),
        tracing_mode="fake",
        _allow_non_fake_inputs=True,
    )(*examples)
    return traced


def _example(value: Tensor) -> Tensor:
    return torch.zeros(tuple(int(d) for d in value.shape), dtype=value.dtype)


def _fold_constants(module: GraphModule) -> None:
    """Compute every node that depends on no input."""
    values: dict[Node, Any] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            values[node] = getattr(module, str(node.target))
        elif node.op == "call_function" and all(n in values for n in node.all_input_nodes):
            args, kwargs = torch.fx.map_arg((node.args, node.kwargs), values.__getitem__)
            with torch.no_grad():
                values[node] = node.target(*args, **kwargs)
    for node, value in values.items():
        if node.op == "call_function" and isinstance(value, Tensor):
            name = f"folded_{node.name}"
            module.register_buffer(name, value.detach().contiguous())
            with module.graph.inserting_before(node):
                node.replace_all_uses_with(module.graph.get_attr(name))
    module.graph.eliminate_dead_code()
    module.recompile()


def _refusal(node: Node) -> str | None:
    """Why the importer must not see `node`, or None."""
    if node.op != "call_function" or getattr(node.target, "__name__", "") == "getitem":
        return None
    name = str(node.target)
    if name not in PRIMITIVES:
        return f"there is no tested lowering of {name}"
    args = node.args
    if name == "aten.avg_pool2d.default" and len(args) > 4 and (args[4] or args[6:] != ()):
        return "average pooling with ceil_mode or divisor_override is imported wrongly"
    if name == "aten.max_pool2d_with_indices.default" and any(u.args[1] for u in node.users):
        return "the indices of max_pool2d are not computed"
    return None
