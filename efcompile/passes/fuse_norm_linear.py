"""fuse-norm-linear: a layer norm and the linear that reads it become one op.

Before: ``linear(layer_norm(x, g, b), W, c)``; after: ``norm_linear(x, W', c')``.

Formula: W' = W diag(g), c' = c + W b (computed in double), the activation of the linear
stays. Preconditions: the linear is the norm's only reader and adds no residual.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.fx import GraphModule, Node

from efcompile import ops
from efcompile.passes.base import Match, Pass, add_constant, constant
from efcompile.passes.rewriting import emit, has_one_user, is_op, replace


@dataclass(frozen=True)
class FuseNormLinear(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "fuse-norm-linear"
    summary: ClassVar[str] = "layer norm, its affine part folded, and the linear behind it"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Linears that read a layer norm."""
        for node in graph_module.graph.nodes:
            if is_op(node, "linear") and is_op(ops.arguments(node)["x"], "layer_norm"):
                yield Match(node, {"norm": ops.arguments(node)["x"]})

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """Nobody else needs the normalised rows."""
        if not has_one_user(match.nodes["norm"]):
            return "the normalised rows have other readers"
        if ops.arguments(match.anchor)["residual"] is not None:
            return "the linear already adds a residual"
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """Fold the norm's affine part and put both ops into one."""
        linear, norm = match.anchor, match.nodes["norm"]
        weight, bias = folded(graph_module, norm, linear)
        new = emit(
            graph_module, linear, "norm_linear", ops.arguments(norm)["x"], weight, bias,
            ops.arguments(norm)["eps"], ops.arguments(linear)["act"], origins=(norm, linear),
        )  # fmt: skip
        replace(linear, new)
        return f"{norm.name} + {linear.name}"


def folded(graph_module: GraphModule, norm: Node, linear: Node) -> tuple[Node, Node | None]:
    """Constants of `linear` with the affine part of the layer norm `norm` in front of it
    folded in: (weight [N, K], bias [N] or None)."""
    gain = constant(graph_module, ops.arguments(norm)["weight"])
    offset = constant(graph_module, ops.arguments(norm)["bias"])
    weight_node, bias_node = ops.arguments(linear)["weight"], ops.arguments(linear)["bias"]
    weight, bias = constant(graph_module, weight_node), constant(graph_module, bias_node)
    assert weight is not None
    total: Tensor | None = None if bias is None else bias.double()
    if offset is not None:
        moved = weight.double() @ offset.double()
        total = moved if total is None else total + moved
    scaled = weight if gain is None else (weight.double() * gain.double()).float()
    hint = str(weight_node.target)
    return (
        weight_node if gain is None else add_constant(graph_module, hint, scaled),
        bias_node if offset is None or total is None
        else add_constant(graph_module, f"{hint}_bias", total.float()),
    )  # fmt: skip
