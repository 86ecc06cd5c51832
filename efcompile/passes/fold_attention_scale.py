"""fold-attention-scale: the factor on attention logits into the projection of the queries.

Before::

    linear / conv2d (W, b) -> views -> q      matmul(q, k) -> mul number
    linear / conv2d (W, b) -> views -> q      scaled_dot_product_attention(q, k, v, scale=number)

After::

    linear / conv2d (W', b') -> views -> q    matmul(q, k)
    linear / conv2d (W', b') -> views -> q    scaled_dot_product_attention(q, k, v, scale=1)

``W'`` is W with the rows that make up q multiplied by the number (b likewise); a merged q, k, v
projection keeps its other rows.  Where q has no projection of its own, k takes the factor.

Preconditions: only the scaled product reads the matmul; the operand comes from a projection
with constant weights by reshapes, permutes and slices; nothing else reads the rows it is of.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from efcompile.passes.base import Match, Pass, source_of
from efcompile.passes.channels import MOVEMENT, chain_to, follow, numbered, readers
from efcompile.passes.projection import Projection, projection, scaled, substitute
from efcompile.passes.rewriting import emit

aten = torch.ops.aten
MUL, MATMUL = aten.mul.Tensor, aten.matmul.default
SDPA = aten.scaled_dot_product_attention.default


@dataclass(frozen=True)
class FoldAttentionScale(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "fold-attention-scale"
    summary: ClassVar[str] = "the factor on attention logits into the query projection"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Scaled products of two activations, scaled operands of one, and attention calls."""
        for node in graph_module.graph.nodes:
            if node.target is SDPA and node.kwargs.get("scale") != 1.0:
                yield Match(node, {"product": node})
            elif node.target is MUL and isinstance(node.args[1], int | float):
                value = node.args[0]
                if value.target is MATMUL:
                    yield Match(node, {"product": value})
                elif _feeds_product(node):
                    yield Match(node, {"operand": value})

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """Whether a projection can take the factor."""
        plan = _plan(graph_module, match)
        return plan if isinstance(plan, str) else None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """Scale the rows, then drop the factor."""
        plan = _plan(graph_module, match)
        assert not isinstance(plan, str)
        target, rows = plan
        node = match.anchor
        factor = _factor(node)
        factors = torch.ones(len(target.weight), dtype=torch.float64)
        factors[rows] = factor
        new = scaled(graph_module, target, factors, None, node)
        substitute(target.node, new)
        if node.target is SDPA:
            plain = emit(graph_module, node, SDPA, *node.args, origins=(node,))
            plain.kwargs = {**node.kwargs, "scale": 1.0}
            substitute(node, plain)
        else:
            substitute(node, node.args[0])  # type: ignore[arg-type]
        return f"{factor:.6g} of {node.name} into {len(rows)} rows of {new.name}"


def _factor(node: Node) -> float:
    number = node.kwargs["scale"] if node.target is SDPA else node.args[1]
    return float(number)  # type: ignore[arg-type]


def _plan(graph_module: GraphModule, match: Match) -> tuple[Projection, Tensor] | str:
    """The projection and the rows of it to scale; or why not."""
    product = match.nodes.get("product")
    if product is None:
        return _rows(graph_module, match.nodes["operand"], match.anchor)
    if product is not match.anchor and len(product.users) > 1:
        return f"{product.name} is also read unscaled"
    reasons = []
    for operand in product.args[:2]:
        assert isinstance(operand, Node)
        plan = _rows(graph_module, operand, product)
        if not isinstance(plan, str):
            return plan
        reasons.append(plan)
    return "; ".join(dict.fromkeys(reasons))


def _rows(
    graph_module: GraphModule, operand: Node, reader: Node
) -> tuple[Projection, Tensor] | str:
    """The projection `operand` comes from and the rows of it that only `reader` reads there."""
    chain = chain_to(operand, MOVEMENT)
    target = projection(graph_module, chain.source)
    if target is None:
        return (
            f"operand {operand.name} comes from {chain.source.name} ({source_of(chain.source)}), "
            "which is no projection with constant weights"
        )
    labels = follow(chain, target.channel_dim, MOVEMENT)
    assert labels is not None
    taken = _present(labels, len(target.weight))
    for other, seen, there in readers(
        target.node, numbered(target.node, target.channel_dim), MOVEMENT
    ):
        if other is reader and seen is operand:
            continue
        assert there is not None
        if bool((_present(there, len(target.weight)) & taken).any()):
            return f"{other.name} reads the same rows of {target.node.name} unscaled"
    return target, taken.nonzero().flatten()


def _present(labels: Tensor, channels: int) -> Tensor:
    """Which of `channels` occur among the labels, bool [channels]."""
    present = torch.zeros(channels, dtype=torch.bool)
    present[labels.flatten()] = True
    return present


def _feeds_product(node: Node) -> bool:
    """Whether `node`, seen through movements, is an operand of attention's first product."""
    return any(
        (user.target is MATMUL or (user.target is SDPA and seen in user.args[:2]))
        for user, seen, _ in readers(node, numbered(node, -1), MOVEMENT)
    )
