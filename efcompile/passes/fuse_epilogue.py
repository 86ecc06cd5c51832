"""fuse-epilogue: an activation or a residual addition joins the op whose result it takes.

Before::

    linear -> activation(act)             linear -> add(., r)

After::

    linear(act=act)                       linear(residual=r)

An op computes ``act(.) + residual``, so an activation joins where there is neither yet, an
addition where there is no residual yet. Activations join conv2d, linear, norm_linear, affine,
binary, resize and attention; residuals join conv2d and linear, also through a free reshape between
(then r is reshaped instead). Preconditions: nobody else reads the op, shapes are equal (a
broadcast is no residual). If both sides of an addition could take it, the later one does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch.fx import GraphModule, Node

from efcompile import ops
from efcompile.passes.base import Match, Pass
from efcompile.passes.rewriting import (
    changed,
    emit_reshape,
    has_one_user,
    is_op,
    is_reshape,
    replace,
    shape,
)

_TAKE_ACTIVATION = ("conv2d", "linear", "norm_linear", "affine", "binary", "resize", "attention")
_TAKE_RESIDUAL = ("conv2d", "linear")


@dataclass(frozen=True)
class FuseEpilogue(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "fuse-epilogue"
    summary: ClassVar[str] = "activations and residuals join the op before them"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Activations, and additions of which a side could take the other."""
        for node in graph_module.graph.nodes:
            if is_op(node, "activation"):
                producer = _through(ops.arguments(node)["x"])
                if is_op(producer, *_TAKE_ACTIVATION):
                    yield Match(node, {"producer": producer})
            elif is_op(node, "binary") and ops.arguments(node)["kind"] == "add":
                sides = _sides(node)
                if sides:
                    fit = [side for side in sides if _residual_reason(node, side) is None]
                    yield Match(node, {"producer": max(fit or sides)})

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """The op computes ``act(.) + residual`` and nothing else reads it before that."""
        node, producer = match.anchor, match.nodes["producer"]
        if is_op(node, "activation"):
            return _activation_reason(producer)
        return _residual_reason(node, producer)

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """Put the epilogue into the op, in the addition's (activation's) place."""
        node, producer = match.anchor, match.nodes["producer"]
        if is_op(node, "activation"):
            act = ops.arguments(node)["act"]
            new = changed(graph_module, node, producer, (producer, node), act=act)
            what = act
        else:
            a, b = ops.arguments(node)["a"], ops.arguments(node)["b"]
            other = b if _through(a) is producer else a
            other = emit_reshape(graph_module, node, other, shape(producer), (node,))
            new = changed(graph_module, node, producer, (producer, node), residual=other)
            what = "residual"
        replace(node, emit_reshape(graph_module, node, new, shape(node), (producer,)))
        return f"{what} into {producer.name}"


def _through(node: Node) -> Node:
    """`node`, or what it views if it is a reshape that alone reads it."""
    while is_reshape(node) and has_one_user(node):
        node = node.args[0]  # type: ignore[assignment]
    return node


def _sides(addition: Node) -> list[Node]:
    sides = {_through(ops.arguments(addition)[name]) for name in ("a", "b")}
    return [side for side in sides if is_op(side, *_TAKE_RESIDUAL)]


def _activation_reason(producer: Node) -> str | None:
    arguments = ops.arguments(producer)
    if not has_one_user(producer):
        return f"{producer.name} has other readers"
    if arguments["act"] != "none":
        return f"{producer.name} has an activation already"
    if arguments.get("residual") is not None:
        return f"{producer.name} adds its residual after its activation"
    return None


def _residual_reason(addition: Node, producer: Node) -> str | None:
    arguments = ops.arguments(addition)
    if not has_one_user(producer):
        return f"{producer.name} has other readers"
    if _through(arguments["a"]) is _through(arguments["b"]):
        return "both sides are the same value"
    if shape(arguments["a"]) != shape(arguments["b"]):
        return "the addition broadcasts"
    if arguments["act"] != "none":
        return "the addition has an activation behind it"
    if ops.arguments(producer)["residual"] is not None:
        return f"{producer.name} has a residual already"
    return None
