"""fold-batchnorm: batch norms into the convolutions and linears around them.

Before::

    x -> conv2d / linear (W, b) [-> reshape, permute, slice, mean, average pool] -> batch_norm
    x -> batch_norm [-> the same] -> conv2d / linear (W, b), one or several

After::

    x -> conv2d / linear (W', b') [-> the same]

With ``s = weight / sqrt(var + eps)`` and ``t = bias - mean s`` the norm is ``y = s x + t`` per
channel.  Into what comes before: ``W' = s W, b' = s b + t`` (rows).  Into what comes after:
``W' = W s`` (columns), ``b' = b + W t``.

Preconditions: the norm uses running statistics.  Before: nothing else reads the projection, and
every channel of the norm is one of its channels.  After: every reader is such a projection, and
a convolution has no padding (or t is zero), for its border would see zeros instead of t.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from efcompile.passes.base import Match, Pass, constant, source_of
from efcompile.passes.channels import AVERAGING, by_channel, chain_to, follow, numbered, readers
from efcompile.passes.projection import Projection, emit_projection, projection, scaled, substitute

BATCH_NORM = torch.ops.aten.batch_norm.default


@dataclass(frozen=True)
class FoldBatchnorm(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "fold-batchnorm"
    summary: ClassVar[str] = "batch norms into the convolutions and linears before or after them"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Every batch norm."""
        for node in graph_module.graph.nodes:
            if node.target is BATCH_NORM:
                yield Match(node)

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """Whether one side can take it; the reasons of both if not."""
        norm = match.anchor
        if _affine(graph_module, norm) is None:
            return "it normalises by its own batch: there are no constants to fold"
        before = _before(graph_module, norm)
        if not isinstance(before, str):
            return None
        after = _after(graph_module, norm)
        return f"before it, {before}; after it, {after}" if isinstance(after, str) else None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """Fold into the projection before it, else into all that come after."""
        norm = match.anchor
        affine = _affine(graph_module, norm)
        assert affine is not None
        scale, shift = affine
        before = _before(graph_module, norm)
        if not isinstance(before, str):
            target, channels = before
            factors = torch.ones(len(target.weight), dtype=torch.float64)
            offsets = torch.zeros_like(factors)
            factors[channels], offsets[channels] = scale, shift
            new = scaled(graph_module, target, factors, offsets, norm)
            substitute(target.node, new)
            substitute(norm, norm.args[0])  # type: ignore[arg-type]
            return f"{norm.name} into {new.name} before it"
        after = _after(graph_module, norm)
        assert not isinstance(after, str)
        names = []
        for target, channels in after:
            new = _absorb(graph_module, target, scale[channels], shift[channels], norm)
            substitute(target.node, new)
            names.append(new.name)
        substitute(norm, norm.args[0])  # type: ignore[arg-type]
        return f"{norm.name} into {', '.join(names)} after it"


def _affine(graph_module: GraphModule, norm: Node) -> tuple[Tensor, Tensor] | None:
    """Scale and shift [C] of the norm, float64; None without running statistics."""
    weight, bias, mean, var = (constant(graph_module, x) for x in norm.args[1:5])
    if mean is None or var is None or norm.args[5]:
        return None
    scale = (var.double() + float(norm.args[7])).rsqrt()  # type: ignore[arg-type]
    if weight is not None:
        scale = scale * weight.double()
    shift = -mean.double() * scale
    return scale, shift if bias is None else shift + bias.double()


def _before(graph_module: GraphModule, norm: Node) -> tuple[Projection, Tensor] | str:
    """The projection before `norm` and its channel for each of the norm's; or why not."""
    operand = norm.args[0]
    assert isinstance(operand, Node)
    chain = chain_to(operand, AVERAGING)
    target = projection(graph_module, chain.source)
    if target is None:
        return f"{_called(chain.source)} is no convolution or linear with constant weights"
    if not chain.private or len(operand.users) > 1:
        return f"{_called(target.node)} is read by others too"
    labels = follow(chain, target.channel_dim, AVERAGING)
    channels = None if labels is None else by_channel(labels, 1)
    if channels is None or len(set(channels.tolist())) != len(channels):
        return f"its channels are not the output channels of {_called(target.node)}"
    return target, channels


def _after(graph_module: GraphModule, norm: Node) -> list[tuple[Projection, Tensor]] | str:
    """Every projection after `norm`, with the norm's channel for each of its input channels; or
    why not."""
    affine = _affine(graph_module, norm)
    assert affine is not None
    found = []
    for reader, operand, labels in readers(norm, numbered(norm, 1), AVERAGING):
        target = projection(graph_module, reader)
        if target is None or target.input is not operand:
            return f"{_called(reader)} is no convolution or linear with constant weights"
        channels = None
        if labels is not None:
            channels = by_channel(labels, 1 if target.is_conv else labels.ndim - 1)
        if channels is None:
            return f"{_called(reader)} does not read whole channels"
        padded = target.is_conv and any(target.node.args[4])  # type: ignore[arg-type]
        if padded and bool(affine[1][channels].any()):
            return f"{_called(reader)} pads with zeros where the norm would give its shift"
        found.append((target, channels))
    return found if found else "nothing reads it"


def _absorb(
    graph_module: GraphModule, old: Projection, scale: Tensor, shift: Tensor, norm: Node
) -> Node:
    """`old` on an input that still has to be scaled and shifted per input channel [I]."""
    rows = len(old.weight)
    grouped = old.weight.double().reshape(old.groups, rows // old.groups, -1, *old.weight.shape[2:])
    columns = (old.groups, 1, grouped.shape[2], *[1] * (grouped.ndim - 3))
    weight = (grouped * scale.reshape(columns)).reshape(old.weight.shape)
    bias = (grouped * shift.reshape(columns)).reshape(rows, -1).sum(1)
    if old.bias is not None:
        bias = bias + old.bias.double()
    return emit_projection(graph_module, old, weight, bias, norm)


def _called(node: Node) -> str:
    if node.op in ("placeholder", "output"):
        return f"the graph's {node.op.replace('placeholder', 'input')}"
    return f"{node.name} ({source_of(node)})"
