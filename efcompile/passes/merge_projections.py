"""merge-projections: q, k and v projections of one input become one projection.

Before::

    x -> linear / conv2d (Wq) -> views -> attention
    x -> linear / conv2d (Wk) -> views -> attention
    x -> linear / conv2d (Wv) -> views -> attention (and others)

After::

    x -> linear / conv2d (Wq, Wk, Wv, one below the other) -> slices -> the same

Preconditions: the projections read the same node, have the same kernel, stride, padding and
dilation, constant weights of one type, and one group; each is an operand of an attention (of a
product of two activations).  Siblings that feed something else are left alone: reading a
merged result there would cost a copy of each part.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from efcompile.passes.base import Match, Pass
from efcompile.passes.channels import MOVEMENT, numbered, readers
from efcompile.passes.projection import Projection, emit_projection, projection, substitute
from efcompile.passes.rewriting import emit

aten = torch.ops.aten
PRODUCTS = (aten.matmul.default, aten.scaled_dot_product_attention.default)


@dataclass(frozen=True)
class MergeProjections(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "merge-projections"
    summary: ClassVar[str] = "query, key and value projections of one input into one"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Groups of two and more projections of one input with one geometry."""
        place = {node: position for position, node in enumerate(graph_module.graph.nodes)}
        for source in graph_module.graph.nodes:
            groups: dict[object, list[Node]] = {}
            for user in sorted(source.users, key=place.__getitem__):
                found = projection(graph_module, user)
                if found is not None and found.input is source:
                    groups.setdefault(found.geometry, []).append(user)
            for members in groups.values():
                attended = [m for m in members if _is_attended(graph_module, m)]
                members = attended if len(attended) > 1 else members
                if len(members) > 1:
                    yield Match(members[-1], {f"part{i}": m for i, m in enumerate(members)})

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """One group, one type, and attention behind each."""
        parts = _parts(graph_module, match)
        if any(part.groups > 1 for part in parts):
            return "grouped convolutions do not share their input channels"
        if len({part.weight.dtype for part in parts}) > 1:
            return "the weights are of different types"
        if not all(_is_attended(graph_module, part.node) for part in parts):
            names = ", ".join(part.node.name for part in parts)
            return f"{names} are not operands of attention: the parts would have to be copied out"
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """One projection with all the rows, and a slice in place of each part."""
        parts = _parts(graph_module, match)
        first = parts[0]
        names = ", ".join(part.node.name for part in parts)
        weight = torch.cat([part.weight for part in parts])
        bias = None
        if any(part.bias is not None for part in parts):
            bias = torch.cat([_bias(part) for part in parts])
        merged = emit_projection(graph_module, first, weight, bias, *(p.node for p in parts))
        start, dim = 0, first.channel_dim
        pieces = []
        for part in parts:
            end = start + len(part.weight)
            piece = emit(
                graph_module, first.node, aten.slice.Tensor, merged, dim, start, end, 1,
                origins=(part.node,),
            )  # fmt: skip
            pieces.append(piece)
            start = end
        for part, piece in zip(parts, pieces, strict=True):
            substitute(part.node, piece)
        return f"{names} into {merged.name} of {len(weight)} channels"


def _bias(part: Projection) -> Tensor:
    return part.weight.new_zeros(len(part.weight)) if part.bias is None else part.bias


def _parts(graph_module: GraphModule, match: Match) -> list[Projection]:
    found = (projection(graph_module, node) for node in match.nodes.values())
    return [part for part in found if part is not None]


def _is_attended(graph_module: GraphModule, node: Node) -> bool:
    """Whether `node`, seen through movements, is an operand of a product of activations."""
    found = projection(graph_module, node)
    assert found is not None
    seen = readers(node, numbered(node, found.channel_dim), MOVEMENT)
    return any(reader.target in PRODUCTS for reader, _, _ in seen)
