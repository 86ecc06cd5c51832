"""fuse-separable: a depthwise convolution and the 1x1 behind it become one op.

Before::

    depthwise conv2d(act1) -> linear(act2, residual)

After::

    separable

Preconditions: nobody else reads the image between them; the depthwise convolution adds no
residual.  The epilogues must have joined before, and where a 1x1 stands in front of the two,
`fuse-ffn` has taken all three.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch.fx import GraphModule

from efcompile import ops
from efcompile.passes.base import Match, Pass
from efcompile.passes.rewriting import emit, has_one_user, is_op, replace, shape


@dataclass(frozen=True)
class FuseSeparable(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "fuse-separable"
    summary: ClassVar[str] = "depthwise, 1x1 (a depthwise-separable convolution) as one op"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Linears that read a depthwise convolution of a channels-last image."""
        for node in graph_module.graph.nodes:
            if not is_op(node, "linear"):
                continue
            middle = ops.arguments(node)["x"]
            if not is_op(middle, "conv2d"):
                continue
            conv = ops.arguments(middle)
            channels = shape(conv["x"])[-1]
            if not conv["nchw_input"] and conv["groups"] == channels == shape(middle)[-1]:
                yield Match(node, {"middle": middle})

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """The op keeps nothing of the image between the two."""
        middle = match.nodes["middle"]
        if not has_one_user(middle):
            return f"the image {middle.name} has other readers"
        if ops.arguments(middle)["residual"] is not None:
            return f"{middle.name} adds a residual between the two"
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """The two ops' weights, side by side."""
        last, middle = match.anchor, match.nodes["middle"]
        dw, pw = ops.arguments(middle), ops.arguments(last)
        new = emit(
            graph_module, last, "separable", dw["x"], dw["weight"], dw["bias"], pw["weight"],
            pw["bias"], pw["residual"], list(dw["stride"]), list(dw["padding"]),
            list(dw["dilation"]), dw["act"], pw["act"], origins=(middle, last),
        )  # fmt: skip
        replace(last, new)
        return f"{middle.name} + {last.name}"
