"""pointwise-to-linear: a 1x1 convolution of a channels-last image is a linear over its rows.

Before: ``conv2d(x [N, H, W, I], weight [O, 1, 1, I])``; after: ``linear(x, weight [O, I])``.

Preconditions: stride 1, no padding, one group, input not read as NCHW. A strided one stays a
convolution: it skips rows, which a linear cannot.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch.fx import GraphModule

from efcompile import ops
from efcompile.passes.base import Match, Pass, add_constant, constant
from efcompile.passes.rewriting import emit, is_op, replace, shape


@dataclass(frozen=True)
class PointwiseToLinear(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "pointwise-to-linear"
    summary: ClassVar[str] = "1x1 convolutions become linears"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Every convolution with a 1x1 kernel."""
        for node in graph_module.graph.nodes:
            if is_op(node, "conv2d") and shape(ops.arguments(node)["weight"])[1:3] == (1, 1):
                yield Match(node)

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """Rows must map to rows."""
        arguments = ops.arguments(match.anchor)
        if list(arguments["stride"]) != [1, 1]:
            return f"stride {list(arguments['stride'])} skips rows: stays a convolution"
        if any(arguments["padding"]):
            return "padding adds rows"
        if arguments["groups"] != 1:
            return f"{arguments['groups']} groups: no single matrix"
        if arguments["nchw_input"]:
            return "reads the model's NCHW input in place"
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """Same weights, two dimensions."""
        node = match.anchor
        arguments = ops.arguments(node)
        weight = constant(graph_module, arguments["weight"])
        assert weight is not None
        flat = add_constant(
            graph_module, str(arguments["weight"].target), weight.reshape(weight.shape[0], -1)
        )
        operands = (arguments["x"], flat, arguments["bias"], arguments["residual"])
        linear = emit(graph_module, node, "linear", *operands, arguments["act"], origins=(node,))
        replace(node, linear)
        return f"{node.name} -> linear"
