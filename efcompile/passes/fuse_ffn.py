"""fuse-ffn: an inverted residual block becomes one op.

Before::

    linear(act1) -> depthwise conv2d(act2) -> linear(residual)

After::

    ffn

Preconditions: nobody else reads the two hidden images; they add no residual; the depthwise
kernel is square and not dilated; no activation behind the second linear. The epilogues must
have joined before.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch.fx import GraphModule

from efcompile import ops
from efcompile.passes.base import Match, Pass
from efcompile.passes.rewriting import emit, has_one_user, is_op, replace, shape


@dataclass(frozen=True)
class FuseFfn(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "fuse-ffn"
    summary: ClassVar[str] = "1x1, depthwise, 1x1 (an inverted residual block) as one op"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Linears that read a depthwise convolution that reads a linear."""
        for node in graph_module.graph.nodes:
            if not is_op(node, "linear"):
                continue
            middle = ops.arguments(node)["x"]
            if not is_op(middle, "conv2d"):
                continue
            first = ops.arguments(middle)["x"]
            depthwise = ops.arguments(middle)["groups"] == shape(first)[-1] == shape(middle)[-1]
            if is_op(first, "linear") and depthwise:
                yield Match(node, {"first": first, "middle": middle})

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """The op computes just this block and keeps none of its hidden images."""
        first, middle = match.nodes["first"], match.nodes["middle"]
        for hidden in (first, middle):
            if not has_one_user(hidden):
                return f"the hidden image {hidden.name} has other readers"
            if ops.arguments(hidden)["residual"] is not None:
                return f"{hidden.name} adds a residual inside the block"
        _, height, width, _ = shape(ops.arguments(middle)["weight"])
        if height != width or list(ops.arguments(middle)["dilation"]) != [1, 1]:
            return "the depthwise kernel is not square or dilated"
        if ops.arguments(match.anchor)["act"] != "none":
            return "an activation follows the second 1x1"
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """The three ops' weights, side by side."""
        last, first, middle = match.anchor, match.nodes["first"], match.nodes["middle"]
        one, dw, two = ops.arguments(first), ops.arguments(middle), ops.arguments(last)
        new = emit(
            graph_module, last, "ffn", one["x"], one["weight"], one["bias"], dw["weight"],
            dw["bias"], two["weight"], two["bias"], two["residual"], list(dw["stride"]),
            list(dw["padding"]), one["act"], dw["act"], origins=(first, middle, last),
        )  # fmt: skip
        replace(last, new)
        return f"{first.name} + {middle.name} + {last.name}"
