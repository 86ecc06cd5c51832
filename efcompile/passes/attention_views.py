"""attention-views: attention reads its operands where the projection wrote them.

Before::

    linear [N, T, C] -> slice -> reshape -> permute -> attention(q, view of the permuted copy)

After::

    linear [N, T, C] -> attention(q, view of the linear's own result)

The chain is replayed on the numbers 0, 1, 2, ...: what arrives at the op is where in the
source each element lies. If that is ``offset + sum(index * stride)``, the strides replace the
chain and the copy is gone. Precondition: it is (a view of the whole chain, or of its nearer
part; then the rest stays). Exact to the bit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from efcompile import ops
from efcompile.ops.attention import head_view
from efcompile.passes.base import Match, Pass
from efcompile.passes.moves import Step, is_move, path_of, replayed, steps_of
from efcompile.passes.rewriting import changed, is_op, replace, shape

_OPERANDS = ("q", "k", "v")


@dataclass(frozen=True)
class AttentionViews(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "attention-views"
    summary: ClassVar[str] = "attention reads q, k and v through strides instead of copies"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Every operand of an attention that something moves first."""
        for node in graph_module.graph.nodes:
            if is_op(node, "attention"):
                for operand in _OPERANDS:
                    source = ops.arguments(node)[operand]
                    if is_move(source):
                        yield Match(node, {operand: source})

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """The operand's elements lie at even distances in some source."""
        ((operand, moved),) = match.nodes.items()
        if _best(match.anchor, operand) is None:
            return f"{operand} comes through {moved.name}, which no strides can express: copied"
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """Point the operand at the farthest source that a view can read."""
        node = match.anchor
        ((operand, _),) = match.nodes.items()
        best = _best(node, operand)
        assert best is not None
        source, view, path = best
        changes = {operand: source, f"{operand}_view": list(view)}
        new = changed(graph_module, node, node, (*reversed(path), node), **changes)
        replace(node, new)
        graph_module.graph.erase_node(node)
        return f"{operand} of {new.name} reads {source.name} in place"


def _best(attention: Node, operand: str) -> tuple[Node, tuple[int, ...], tuple[Node, ...]] | None:
    """(source, view, nodes between, last first) of the farthest source that works."""
    sizes, own = _sizes(attention, operand), tuple(ops.arguments(attention)[f"{operand}_view"])
    path = path_of(ops.arguments(attention)[operand])
    for length in range(len(path) - 1, 0, -1):
        source, between = path[length], path[:length]
        view = _view(shape(source), steps_of(between), sizes, own)
        if view is not None:
            return source, view, tuple(between)
    return None


def _sizes(attention: Node, operand: str) -> tuple[int, ...]:
    batch, heads, queries, keys, key_dim, value_dim = ops.arguments(attention)["sizes"]
    return (
        batch,
        heads,
        queries if operand == "q" else keys,
        value_dim if operand == "v" else key_dim,
    )


@lru_cache(maxsize=512)
def _view(
    source: tuple[int, ...], steps: tuple[Step, ...], sizes: tuple[int, ...], own: tuple[int, ...]
) -> tuple[int, ...] | None:
    """The view of a tensor of shape `source` that equals the op's `own` view of what `steps`
    make of it; None if there is none."""
    return _strides(head_view(replayed(source, steps), sizes, own))


def _strides(where: Tensor) -> tuple[int, ...] | None:
    """(offset, strides) if the numbers in `where` are an affine function of their index."""
    offset = int(where.flatten()[0])
    strides, fitted = [], torch.full((), offset)
    for dim, size in enumerate(where.shape):
        step = int(where.select(dim, 1).flatten()[0]) - offset if size > 1 else 0
        strides.append(step)
        along = [1] * where.dim()
        along[dim] = size
        fitted = fitted + (torch.arange(size) * step).reshape(along)
    return (offset, *strides) if torch.equal(fitted.expand_as(where), where) else None
