"""Convolutions and linears with constant weights: read one, write one with other weights."""

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from efcompile.passes.base import add_constant, constant
from efcompile.passes.rewriting import emit

aten = torch.ops.aten
LINEAR = aten.linear.default
CONV2D = aten.conv2d.default


@dataclass(frozen=True)
class Projection:
    """A ``linear`` (weight [O, I]) or ``conv2d`` (weight [O, I / groups, kh, kw]) node with its
    constants. `channel_dim` is the dimension of its result that counts output channels."""

    node: Node
    weight: Tensor
    bias: Tensor | None

    @property
    def is_conv(self) -> bool:
        """Whether this is a convolution."""
        return self.node.target is CONV2D

    @property
    def input(self) -> Node:
        """The activation it reads."""
        source = self.node.args[0]
        assert isinstance(source, Node)
        return source

    @property
    def channel_dim(self) -> int:
        """Dimension of the output channels."""
        return 1 if self.is_conv else self.node.meta["val"].ndim - 1

    @property
    def groups(self) -> int:
        """Groups of channels that do not mix; 1 for a linear."""
        return int(self.node.args[6]) if self.is_conv else 1  # type: ignore[arg-type]

    @property
    def geometry(self) -> tuple[Any, ...]:
        """What two projections must share to run as one: kernel, stride, padding, dilation."""
        if not self.is_conv:
            return ("linear",)
        numbers = tuple(tuple(self.node.args[i]) for i in (3, 4, 5))  # type: ignore[arg-type]
        return ("conv2d", tuple(self.weight.shape[2:]), *numbers)

    def rows(self, factors: Tensor) -> Tensor:
        """`factors` [O] shaped to multiply the weight's rows."""
        return factors.reshape(-1, *[1] * (self.weight.ndim - 1))


def projection(graph_module: GraphModule, node: object) -> Projection | None:
    """`node` as a projection, or None if it is none or its weights are not constant."""
    if not isinstance(node, Node) or node.target not in (LINEAR, CONV2D):
        return None
    weight = constant(graph_module, node.args[1])
    bias = constant(graph_module, node.args[2])
    if weight is None or (bias is None and node.args[2] is not None):
        return None
    return Projection(node, weight, bias)


def emit_projection(
    graph_module: GraphModule,
    old: Projection,
    weight: Tensor,
    bias: Tensor | None,
    *origins: Node,
) -> Node:
    """`old` with new constants (rounded to the old weight's type), placed before it."""
    name = re.sub(r"_\d+$", "", str(old.node.args[1].target))  # type: ignore[union-attr]
    new_weight = add_constant(graph_module, name, weight.to(old.weight.dtype))
    new_bias = None
    if bias is not None:
        name = f"{name.removesuffix('_weight')}_bias"
        new_bias = add_constant(graph_module, name, bias.to(old.weight.dtype))
    arguments = (old.input, new_weight, new_bias, *old.node.args[3:])
    return emit(graph_module, old.node, old.node.target, *arguments, origins=(old.node, *origins))


def substitute(old: Node, new: Node) -> None:
    """Let every reader of `old` read `new`, and take `old` out of the graph."""
    old.replace_all_uses_with(new)
    old.graph.erase_node(old)


def scaled(
    graph_module: GraphModule,
    old: Projection,
    scale: Tensor,
    shift: Tensor | None,
    *origins: Node,
) -> Node:
    """`old` whose output channels are multiplied by `scale` [O], then moved by `shift` [O], both
    float64: ``W' = scale W, b' = scale b + shift``."""
    weight = old.weight * old.rows(scale.to(old.weight.dtype))
    bias = None if old.bias is None else old.bias.double() * scale
    if shift is not None:
        bias = shift if bias is None else bias + shift
    return emit_projection(graph_module, old, weight, bias, *origins)
