"""fold-layer-scale: a learned factor per channel into the projection whose result it scales.

Before::

    conv2d / linear (W, b) [-> reshape, permute, slice] -> mul gamma

After::

    conv2d / linear (gamma W, gamma b) [-> the same]

Preconditions: gamma is constant and broadcasts to what it scales; nothing reads the projection
unscaled; all elements of an output channel get the same factor.  A factor on something without
weights (a pool mixer) stays, and the mixer's kernel applies it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from efcompile.passes.base import Match, Pass, constant, source_of
from efcompile.passes.channels import MOVEMENT, chain_to, follow
from efcompile.passes.projection import Projection, projection, scaled, substitute
from efcompile.passes.rewriting import shape

MUL = torch.ops.aten.mul.Tensor


@dataclass(frozen=True)
class FoldLayerScale(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "fold-layer-scale"
    summary: ClassVar[str] = "learned factors per channel into the projection they scale"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Products of an activation and a constant tensor."""
        for node in graph_module.graph.nodes:
            if node.target is not MUL:
                continue
            for value, factor in (node.args, node.args[::-1]):
                known = _known(graph_module, factor) is not None
                if known and isinstance(value, Node) and _known(graph_module, value) is None:
                    yield Match(node, {"value": value, "factor": factor})

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """Whether a projection can take the factor."""
        plan = _plan(graph_module, match)
        return plan if isinstance(plan, str) else None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """Scale the projection's rows."""
        plan = _plan(graph_module, match)
        assert not isinstance(plan, str)
        target, factors = plan
        new = scaled(graph_module, target, factors, None, match.anchor)
        product, value = match.anchor, match.nodes["value"]
        substitute(target.node, new)
        substitute(product, new if value is target.node else value)
        return f"{product.name} into {new.name}"


def _plan(graph_module: GraphModule, match: Match) -> tuple[Projection, Tensor] | str:
    """The projection and a factor for each of its output channels; or why not."""
    product, value = match.anchor, match.nodes["value"]
    gamma = _known(graph_module, match.nodes["factor"])
    assert gamma is not None
    if shape(value) != shape(product):
        return f"the factor's shape {tuple(gamma.shape)} broadcasts what it scales"
    chain = chain_to(value, MOVEMENT)
    target = projection(graph_module, chain.source)
    if target is None:
        return (
            f"it scales {chain.source.name} ({source_of(chain.source)}), which has no constant "
            "weights to take the factor"
        )
    if not chain.private or len(value.users) > 1:
        return f"{target.node.name} is also read unscaled"
    if not chain.nodes and _per_channel(gamma, len(shape(value)), target.channel_dim):
        return target, gamma.flatten().double().expand(len(target.weight))
    labels = follow(chain, target.channel_dim, MOVEMENT)
    assert labels is not None
    places, given = labels.flatten().long(), gamma.expand(shape(value)).flatten().double()
    rows = torch.ones(len(target.weight), dtype=torch.float64)
    low = rows.scatter_reduce(0, places, given, "amin", include_self=False)
    high = rows.scatter_reduce(0, places, given, "amax", include_self=False)
    if not torch.equal(low, high):
        return f"elements of one output channel of {target.node.name} get different factors"
    return target, low


def _per_channel(gamma: Tensor, rank: int, channel_dim: int) -> bool:
    """Whether `gamma`, aligned to `rank` dimensions, varies along `channel_dim` only."""
    sizes = (1,) * (rank - gamma.ndim) + tuple(gamma.shape)
    return all(size == 1 for dim, size in enumerate(sizes) if dim != channel_dim)


def _known(graph_module: GraphModule, node: object) -> Tensor | None:
    """A constant, possibly seen through reshapes."""
    if isinstance(node, Node) and node.target is torch.ops.aten.reshape.default:
        inner = _known(graph_module, node.args[0])
        return None if inner is None else inner.reshape(shape(node))
    return constant(graph_module, node)
