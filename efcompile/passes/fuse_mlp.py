"""fuse-mlp: two linears with an activation between become one op.

Before: ``linear(act) -> linear(residual)``; after: ``mlp``, which never stores the hidden rows.

Preconditions: the second linear alone reads the hidden rows and has no activation; the first
has one (else the two are one matrix) and no residual. A linear that a layer norm has joined is
no longer a plain linear: the norm's fusion goes first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch.fx import GraphModule

from efcompile import ops
from efcompile.passes.base import Match, Pass
from efcompile.passes.rewriting import emit, has_one_user, is_op, replace


@dataclass(frozen=True)
class FuseMlp(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "fuse-mlp"
    summary: ClassVar[str] = "linear, activation, linear, residual as one op"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Linears that read a linear."""
        for node in graph_module.graph.nodes:
            if is_op(node, "linear") and is_op(ops.arguments(node)["x"], "linear"):
                yield Match(node, {"first": ops.arguments(node)["x"]})

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """The op computes just this and keeps no hidden rows."""
        first = match.nodes["first"]
        if not has_one_user(first):
            return f"the hidden rows {first.name} have other readers"
        if ops.arguments(first)["act"] == "none":
            return "no activation between the two linears"
        if ops.arguments(first)["residual"] is not None:
            return "a residual joins the hidden rows"
        if ops.arguments(match.anchor)["act"] != "none":
            return "an activation follows the second linear"
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """The two ops' weights, side by side."""
        last, first = match.anchor, match.nodes["first"]
        one, two = ops.arguments(first), ops.arguments(last)
        new = emit(
            graph_module, last, "mlp", one["x"], one["weight"], one["bias"], two["weight"],
            two["bias"], two["residual"], one["act"], origins=(first, last),
        )  # fmt: skip
        replace(last, new)
        return f"{first.name} + {last.name}"
