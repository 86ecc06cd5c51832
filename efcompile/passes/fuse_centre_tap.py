"""fuse-centre-tap: an identity beside a depthwise convolution is one more weight.

Before::

    add(depthwise conv2d(x, stride s), avg_pool2d(x, kernel 1, stride s))     (or x, for s = 1)

After::

    depthwise conv2d(x, stride s) with 1 added to the centre tap of every channel

Formula: a pool of window 1 and stride s picks x[s i, s j]; so does the centre tap of an odd
kernel k with padding k // 2. Preconditions: that geometry, no dilation, activation or
residual in the convolution, and nobody else reads either branch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch.fx import GraphModule, Node

from efcompile import ops
from efcompile.passes.base import Match, Pass, add_constant, constant
from efcompile.passes.rewriting import changed, has_one_user, is_op, replace, shape


@dataclass(frozen=True)
class FuseCentreTap(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "fuse-centre-tap"
    summary: ClassVar[str] = "identity or strided pick beside a depthwise conv joins its weights"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Additions of a depthwise convolution and a copy of (some of) its input."""
        for node in graph_module.graph.nodes:
            if not is_op(node, "binary") or ops.arguments(node)["kind"] != "add":
                continue
            a, b = ops.arguments(node)["a"], ops.arguments(node)["b"]
            for conv, pick in ((a, b), (b, a)):
                if _is_depthwise(conv) and _picked(pick) is ops.arguments(conv)["x"]:
                    yield Match(node, {"conv": conv, "pick": pick})
                    break

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """The centre tap must read exactly what the other branch picks."""
        conv, pick = match.nodes["conv"], match.nodes["pick"]
        arguments = ops.arguments(conv)
        kernel = shape(arguments["weight"])[1:3]
        if any(k % 2 == 0 for k in kernel) or list(arguments["dilation"]) != [1, 1]:
            return "the kernel has no centre tap"
        if list(arguments["padding"]) != [k // 2 for k in kernel]:
            return "the padding does not centre the kernel"
        pooled = pick is not arguments["x"]
        stride = list(ops.arguments(pick)["stride"]) if pooled else [1, 1]
        if stride != list(arguments["stride"]):
            return "the branches have different strides"
        if arguments["act"] != "none" or arguments["residual"] is not None:
            return "the convolution has an activation or a residual of its own"
        if not has_one_user(conv) or (pooled and not has_one_user(pick)):
            return "a branch has other readers"
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """Add one to the centre tap; the addition's own activation moves into the conv."""
        node, conv = match.anchor, match.nodes["conv"]
        weight_node = ops.arguments(conv)["weight"]
        weight = constant(graph_module, weight_node)
        assert weight is not None
        taps = weight.clone()
        taps[:, taps.shape[1] // 2, taps.shape[2] // 2, 0] += 1
        new = changed(
            graph_module, node, conv, (conv, match.nodes["pick"], node),
            weight=add_constant(graph_module, str(weight_node.target), taps),
            act=ops.arguments(node)["act"],
        )  # fmt: skip
        replace(node, new)
        return f"{match.nodes['pick'].name} into the centre tap of {conv.name}"


def _is_depthwise(node: Node) -> bool:
    if not is_op(node, "conv2d") or ops.arguments(node)["nchw_input"]:
        return False
    arguments = ops.arguments(node)
    outputs, _, _, per_group = shape(arguments["weight"])
    return per_group == 1 and bool(outputs == arguments["groups"] == shape(arguments["x"])[-1])


def _picked(node: Node) -> Node:
    """What an average pool of window 1 picks from; any other node stands for itself."""
    if is_op(node, "avg_pool2d"):
        arguments = ops.arguments(node)
        if list(arguments["kernel"]) == [1, 1] and not any(arguments["padding"]):
            picked: Node = arguments["x"]
            return picked
    return node
