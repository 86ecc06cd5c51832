"""fuse-pool-head: global average pooling and the classifier become one op.

Before::

    [layer_norm ->] mean over all positions -> linear           (norm before)
    mean over all positions -> norm_linear                      (norm after)

After::

    pool_linear(norm = before | after | none)

The affine part of a norm before the pooling folds into the linear, as the mean is linear:
W mean(g n + b) + c = (W diag(g)) mean(n) + (W b + c). Preconditions: the mean is over every
dimension but the first and the last, it has one reader, no activation or residual behind.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch.fx import GraphModule, Node

from efcompile import ops
from efcompile.passes.base import Match, Pass
from efcompile.passes.fuse_norm_linear import folded
from efcompile.passes.rewriting import emit, has_one_user, is_op, replace, shape


@dataclass(frozen=True)
class FusePoolHead(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "fuse-pool-head"
    summary: ClassVar[str] = "global average pooling, norm and classifier as one op"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Linears that read a mean."""
        for node in graph_module.graph.nodes:
            if is_op(node, "linear", "norm_linear") and is_op(ops.arguments(node)["x"], "mean"):
                yield Match(node, {"mean": ops.arguments(node)["x"]})

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """Positions vanish, images and channels stay."""
        head, mean = match.anchor, match.nodes["mean"]
        rank = len(shape(ops.arguments(mean)["x"]))
        dims = sorted(d % rank for d in ops.arguments(mean)["dims"])
        if rank < 3 or dims != list(range(1, rank - 1)) or ops.arguments(mean)["keepdim"]:
            return "the mean is not over all positions"
        if not has_one_user(mean):
            return "the pooled features have other readers"
        if ops.arguments(head)["act"] != "none":
            return "an activation follows"
        if ops.arguments(head).get("residual") is not None:
            return "a residual follows"
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """One op, with the norm where it was."""
        head, mean = match.anchor, match.nodes["mean"]
        arguments = ops.arguments(head)
        x, weight, bias = ops.arguments(mean)["x"], arguments["weight"], arguments["bias"]
        parts: tuple[Node, ...] = (mean, head)
        norm, eps = "none", 0.0
        if is_op(head, "norm_linear"):
            norm, eps = "after", arguments["eps"]
        elif is_op(x, "layer_norm") and has_one_user(x):
            norm, eps, parts = "before", ops.arguments(x)["eps"], (x, mean, head)
            weight, bias = folded(graph_module, x, head)
            x = ops.arguments(x)["x"]
        new = emit(graph_module, head, "pool_linear", x, weight, bias, norm, eps, origins=parts)
        replace(head, new)
        return " + ".join(part.name for part in parts)
