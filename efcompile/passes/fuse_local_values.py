"""fuse-local-values: the depthwise convolution of its values joins attention.

Before::

    v [N, H, W, C] -> moves -> attention(q, k, .) [N, Q, C] --> add
    v -> conv2d(depthwise, W) [N, H', W', C] -> reshape ------>

After::

    attention(q, k, v, local=W) [N, Q, C]

Attention reads the values in the cache, next to one another; the convolution of its own read
them, and wrote and read its result, thousands of bytes apart. And since nobody else reads v now,
it may stay a part of a merged projection.

Preconditions: nobody else reads the two, the convolution is plain (no dilation, activation or
residual, constant weights), its positions are the queries, and its input is, element by element,
the image of attention's values.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.fx import GraphModule, Node

from efcompile import ops
from efcompile.ops.attention import head_view
from efcompile.passes.base import Match, Pass, constant
from efcompile.passes.moves import path_of, replayed, steps_of
from efcompile.passes.rewriting import (
    changed,
    emit_reshape,
    has_one_user,
    is_op,
    is_reshape,
    replace,
    shape,
)


@dataclass(frozen=True)
class FuseLocalValues(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "fuse-local-values"
    summary: ClassVar[str] = "the depthwise convolution of its values joins attention"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Additions of an attention and a depthwise convolution."""
        for node in graph_module.graph.nodes:
            if not is_op(node, "binary") or ops.arguments(node)["kind"] != "add":
                continue
            a, b = (_path(ops.arguments(node)[name])[-1] for name in ("a", "b"))
            for attention, conv in ((a, b), (b, a)):
                if is_op(attention, "attention") and is_op(conv, "conv2d") and _depthwise(conv):
                    yield Match(node, {"attention": attention, "conv": conv})

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """The convolution is plain, and over the values at the queries."""
        attention, conv = match.nodes["attention"], match.nodes["conv"]
        own, other = ops.arguments(attention), ops.arguments(conv)
        for name in ("a", "b"):
            for node in _path(ops.arguments(match.anchor)[name]):
                if not has_one_user(node):
                    return f"{node.name} has other readers"
        if own["local"] is not None or own["act"] != "none":
            return f"{attention.name} has an epilogue already"
        if other["residual"] is not None or other["act"] != "none":
            return f"{conv.name} has an epilogue"
        if list(other["dilation"]) != [1, 1]:
            return f"{conv.name} is dilated"
        if other["nchw_input"]:
            return f"{conv.name} reads channels-first"
        for name in ("weight", "bias"):
            if other[name] is not None and constant(graph_module, other[name]) is None:
                return f"the {name} of {conv.name} is not a constant"
        batch, height, width, channels = shape(conv)
        if shape(attention) != (batch, height * width, channels):
            return f"the positions of {conv.name} are not the queries"
        if not _same_values(attention, conv):
            return f"{conv.name} does not read the image of the values"
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """Put the convolution's weights and geometry into the op, in the addition's place."""
        node, attention, conv = match.anchor, match.nodes["attention"], match.nodes["conv"]
        arguments = ops.arguments(conv)
        _, height, width, _ = shape(arguments["x"])
        grid = [height, width, *arguments["stride"], *arguments["padding"]]
        new = changed(
            graph_module, node, attention, (attention, conv, node), local=arguments["weight"],
            local_bias=arguments["bias"], local_grid=grid, act=ops.arguments(node)["act"],
        )  # fmt: skip
        replace(node, emit_reshape(graph_module, node, new, shape(node), (attention,)))
        return f"{conv.name} into {attention.name}"


def _path(node: Node) -> list[Node]:
    """`node`, and what it views, and so on while these are reshapes."""
    path = [node]
    while is_reshape(path[-1]):
        path.append(path[-1].args[0])  # type: ignore[arg-type]
    return path


def _depthwise(conv: Node) -> bool:
    weight = shape(ops.arguments(conv)["weight"])
    return weight[0] == ops.arguments(conv)["groups"] and weight[3] == 1


def _same_values(attention: Node, conv: Node) -> bool:
    """Whether the convolution's input has the values of all heads as its channels."""
    own = ops.arguments(attention)
    batch, heads, _, keys, _, value_dim = own["sizes"]
    to_values, to_image = path_of(own["v"]), path_of(ops.arguments(conv)["x"])
    sources = [node for node in to_values if node in to_image]
    if not sources:
        return False
    moved = [
        replayed(shape(sources[0]), steps_of(path[: path.index(sources[0])]))
        for path in (to_values, to_image)
    ]
    values = head_view(moved[0], (batch, heads, keys, value_dim), own["v_view"])
    image = moved[1].flatten(1, 2)
    return torch.equal(values.transpose(1, 2).flatten(2), image)
