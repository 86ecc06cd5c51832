"""legalise: every ATen node, one to one, into an unfused channels-last op of the dialect.

Before::

    x [N, C, H, W] -> aten.conv2d(x, weight [O, I, kh, kw]) -> y [N, O, H', W']

After::

    x -> permute NHWC -> efcompile.conv2d(weight [O, kh, kw, I], a constant) -> permute NCHW -> y

Around every op on images stand explicit permutes, so any single node can be legalised without
looking at its neighbours; cancel-reshapes takes them away again. ``aten.reshape`` stays: it is
the dialect's free view. A batch norm that is still there becomes an affine.

Preconditions: normal form with shapes, float32. What has no rule, or whose rule refuses,
stays as its ATen node: it goes through TVM's importer, and is listed.
The rules are in `legalise_rules`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch.fx import GraphModule

from efcompile import ops
from efcompile.passes.base import Match, Pass
from efcompile.passes.legalise_rules import RULES
from efcompile.passes.legalise_rules.rule import Site, wrong_type
from efcompile.passes.rewriting import is_reshape, replace


@dataclass(frozen=True)
class Legalise(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "legalise"
    summary: ClassVar[str] = "every ATen op into one channels-last op of ours"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Every call that is neither a dialect op nor a reshape."""
        for node in graph_module.graph.nodes:
            if node.op == "call_function" and ops.op_of(node) is None and not is_reshape(node):
                yield Match(node)

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """Why the node stays a leftover."""
        node, site = match.anchor, Site(graph_module, match.anchor)
        rule = RULES.get(node.target)
        if rule is None:
            return f"no channels-last op for {node.target}; goes through TVM's importer"
        reason = wrong_type(site, rule.any_constant) or rule.refuse(site)
        return None if reason is None else f"{node.target}: {reason}; goes through TVM's importer"

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """Replace the node by what its rule builds."""
        node = match.anchor
        new = RULES[node.target].build(Site(graph_module, node))
        replace(node, new)
        graph_module.graph.erase_node(node)
        return f"{node.target} -> dialect"
