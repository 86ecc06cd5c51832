"""Small tools for writing dialect passes: emit a node with its shape, read one, replace one."""

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from efcompile import ops
from efcompile.passes.base import set_sources

RESHAPE = torch.ops.aten.reshape.default
"""The one view of the dialect: free, because every value is contiguous."""


def shape(node: Node) -> tuple[int, ...]:
    """Shape of a node's value."""
    return tuple(int(d) for d in node.meta["val"].shape)


def is_op(node: object, *names: str) -> bool:
    """Whether `node` calls one of the named dialect ops."""
    if not isinstance(node, Node):
        return False
    op = ops.op_of(node)
    return op is not None and op.name in names


def is_reshape(node: object) -> bool:
    """Whether `node` is the free view ``aten.reshape``."""
    return isinstance(node, Node) and node.op == "call_function" and node.target is RESHAPE


def has_one_user(node: Node) -> bool:
    """Whether exactly one node reads `node`, so that it may be merged into that reader."""
    return len(node.users) == 1


def emit(
    graph_module: GraphModule, before: Node, target: Any, *args: Any, origins: tuple[Node, ...]
) -> Node:
    """Insert ``target(*args)`` before a node, with its meta value and the origins' sources.

    `target` is the name of a dialect op or an operator overload.
    """
    overload = ops.OPS[target].overload if isinstance(target, str) else target
    with graph_module.graph.inserting_before(before):
        node = graph_module.graph.call_function(overload, args)
    node.meta["val"] = overload(*map_arg(args, _meta))
    set_sources(node, *origins)
    return node


def emit_reshape(
    graph_module: GraphModule,
    before: Node,
    x: Node,
    result: tuple[int, ...],
    origins: tuple[Node, ...],
) -> Node:
    """`x` seen with shape `result`: `x` itself if it has that shape already."""
    if shape(x) == result:
        return x
    return emit(graph_module, before, RESHAPE, x, list(result), origins=origins)


def changed(
    graph_module: GraphModule, before: Node, node: Node, origins: tuple[Node, ...], **changes: Any
) -> Node:
    """A copy of dialect node `node`, inserted before `before`, with some arguments changed."""
    op = ops.op_of(node)
    assert op is not None
    arguments = {**ops.arguments(node), **changes}
    return emit(graph_module, before, op.name, *arguments.values(), origins=origins)


def replace(old: Node, new: Node) -> None:
    """Let every reader of `old` read `new`; `old` is dropped when the pass cleans up."""
    old.replace_all_uses_with(new)


def _meta(node: Node) -> Tensor:
    value = node.meta["val"]
    return torch.empty(tuple(value.shape), dtype=value.dtype, device="meta")
