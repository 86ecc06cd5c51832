"""fuse-pool-mixer: the pooling token mixer with its layer scale and residual becomes one stencil.

Before::

    pool = avg_pool2d(x, k, stride 1, padding k // 2)
    add(residual, mul(sub(pool, x), scale [C]))            (mul and add if they are there)

After::

    pool_mixer(x, residual, scale, k)

Preconditions: square odd window, stride 1, same size, padding not counted; each inner value
has one reader. What does not fit behind the difference simply stays outside.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.fx import GraphModule, Node

from efcompile import ops
from efcompile.passes.base import Match, Pass, add_constant, constant
from efcompile.passes.rewriting import emit, has_one_user, is_op, replace, shape


@dataclass(frozen=True)
class FusePoolMixer(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "fuse-pool-mixer"
    summary: ClassVar[str] = "average pool minus input, scale and residual as one stencil"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Differences of an average pool and its own input, with what follows them."""
        for node in graph_module.graph.nodes:
            if not is_op(node, "binary") or ops.arguments(node)["kind"] != "sub":
                continue
            pool, x = ops.arguments(node)["a"], ops.arguments(node)["b"]
            if is_op(pool, "avg_pool2d") and ops.arguments(pool)["x"] is x:
                yield _extend(graph_module, {"pool": pool, "difference": node, "x": x})

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """The window must be that of the op."""
        pool = match.nodes["pool"]
        arguments = ops.arguments(pool)
        kernel = list(arguments["kernel"])
        if kernel[0] != kernel[1] or kernel[0] % 2 == 0:
            return "the window is not square and odd"
        if list(arguments["stride"]) != [1, 1]:
            return "the pool has a stride"
        if list(arguments["padding"]) != [k // 2 for k in kernel]:
            return "the pool changes the size"
        if arguments["count_include_pad"] and kernel[0] > 1:
            return "the pool counts its padding"
        if not has_one_user(pool):
            return "the pooled image has other readers"
        if ops.arguments(match.nodes["difference"])["act"] != "none":
            return "the difference has an activation"
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """One op in the place of the last part."""
        nodes = match.nodes
        parts = tuple(nodes[k] for k in ("pool", "difference", "scaled", "sum") if k in nodes)
        scale = None
        if "scaled" in nodes:
            vector = _channel_vector(graph_module, nodes["scaled"], nodes["difference"])
            assert vector is not None
            scale = add_constant(graph_module, "mixer_scale", vector.reshape(-1))
        kernel = int(ops.arguments(nodes["pool"])["kernel"][0])
        new = emit(
            graph_module, match.anchor, "pool_mixer", nodes["x"], nodes.get("residual"), scale,
            kernel, origins=parts,
        )  # fmt: skip
        replace(match.anchor, new)
        return " + ".join(part.name for part in parts)


def _extend(graph_module: GraphModule, nodes: dict[str, Node]) -> Match:
    """Take in a scale by channel and an addition behind the difference, where they fit."""
    last = nodes["difference"]
    scaled = _only_binary(last, "mul")
    if scaled is not None and _channel_vector(graph_module, scaled, last) is not None:
        nodes["scaled"] = last = scaled
    total = _only_binary(last, "add")
    if total is not None:
        a, b = ops.arguments(total)["a"], ops.arguments(total)["b"]
        residual = b if a is last else a
        if residual is not last and shape(residual) == shape(last):
            nodes |= {"residual": residual, "sum": total}
            last = total
    return Match(last, nodes)


def _only_binary(node: Node, kind: str) -> Node | None:
    """The plain binary op that alone reads `node`."""
    if not has_one_user(node):
        return None
    (user,) = node.users
    if not is_op(user, "binary"):
        return None
    arguments = ops.arguments(user)
    return user if arguments["kind"] == kind and arguments["act"] == "none" else None


def _channel_vector(graph_module: GraphModule, product: Node, x: Node) -> Tensor | None:
    """The constant that `product` multiplies `x` by, if it is one number per channel."""
    a, b = ops.arguments(product)["a"], ops.arguments(product)["b"]
    value = constant(graph_module, b if a is x else a)
    channels = shape(x)[-1]
    if value is None or value.numel() != channels or value.shape[-1] != channels:
        return None
    return value
