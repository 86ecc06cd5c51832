"""fuse-subsample: a linear of every s-th position is a 1x1 convolution with stride s.

Before::

    x [N, H, W, K] -> slice(dim 1, step s) -> slice(dim 2, step s) [-> reshape] -> linear

After::

    x -> conv2d(weight [O, 1, 1, K], stride s) [-> reshape]

Preconditions: both slices start at 0 and reach the end, nothing else reads them, the linear
has no residual. Then the subsampled copy is never made.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch.fx import GraphModule, Node

from efcompile import ops
from efcompile.passes.base import Match, Pass, add_constant, constant
from efcompile.passes.chains import readers, trace
from efcompile.passes.rewriting import emit, emit_reshape, is_op, replace, shape


@dataclass(frozen=True)
class FuseSubsample(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "fuse-subsample"
    summary: ClassVar[str] = "strided slices before a linear become the stride of a convolution"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Linears that read two strided slices."""
        for node in graph_module.graph.nodes:
            if not is_op(node, "linear"):
                continue
            outer = trace(ops.arguments(node)["x"]).root
            inner = ops.arguments(outer)["x"] if _strided(outer) else None
            if inner is not None and _strided(inner):
                yield Match(node, {"outer": outer, "inner": inner})

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """The slices are a stride over an image's height and width."""
        linear, outer, inner = match.anchor, match.nodes["outer"], match.nodes["inner"]
        chain = trace(ops.arguments(linear)["x"]).rearrangement
        if len(shape(outer)) != 4 or {_dim(outer), _dim(inner)} != {1, 2}:
            return "the slices are not over the height and width of an image"
        for piece in (outer, inner):
            arguments = ops.arguments(piece)
            size = shape(arguments["x"])[_dim(piece)]
            if arguments["start"] != 0 or arguments["end"] < size:
                return "a slice leaves out one end"
        if len(readers(outer)) != 1 or len(readers(inner)) != 1:
            return "the subsampled image has other readers"
        if not chain.is_view or not chain.keeps_last:
            return "the subsampled image is permuted before the linear"
        if ops.arguments(linear)["residual"] is not None:
            return "the linear already adds a residual"
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """The steps become strides."""
        linear, outer, inner = match.anchor, match.nodes["outer"], match.nodes["inner"]
        arguments = ops.arguments(linear)
        weight = constant(graph_module, arguments["weight"])
        assert weight is not None
        steps = {_dim(piece): int(ops.arguments(piece)["step"]) for piece in (outer, inner)}
        image = ops.arguments(inner)["x"]
        taps = add_constant(graph_module, str(arguments["weight"].target), weight[:, None, None, :])
        origins = (inner, outer, linear)
        conv = emit(
            graph_module, linear, "conv2d", image, taps, arguments["bias"], None,
            [steps[1], steps[2]], [0, 0], [1, 1], 1, arguments["act"], origins=origins,
        )  # fmt: skip
        replace(linear, emit_reshape(graph_module, linear, conv, shape(linear), origins))
        return f"{linear.name} reads every {steps[1]}x{steps[2]}-th position itself"


def _dim(piece: Node) -> int:
    return int(ops.arguments(piece)["dim"]) % len(shape(piece))


def _strided(node: Node) -> bool:
    return is_op(node, "slice") and ops.arguments(node)["step"] > 1
