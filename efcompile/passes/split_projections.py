"""split-projections: a part of a merged projection that would have to be copied out is its own.

Before::

    linear(W) -> slice q, slice k -> attention
              -> slice v -> depthwise conv2d (and attention)

After::

    linear(W[q, k]) -> slice q, slice k -> attention
    linear(W[v]) -> depthwise conv2d (and attention)

Slices that only attention reads cost nothing (attention-views reads them through strides);
any other reader would need a copy, which costs more than projecting the columns by a linear
of their own. Preconditions: every reader of the linear is a slice of its columns, the slices do
not overlap, and one of them has a reader besides attention.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch.fx import GraphModule, Node

from efcompile import ops
from efcompile.passes.base import Match, Pass, add_constant, constant
from efcompile.passes.chains import is_link
from efcompile.passes.rewriting import changed, emit, emit_reshape, is_op, replace, shape


@dataclass(frozen=True)
class SplitProjections(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "split-projections"
    summary: ClassVar[str] = "columns of a merged projection that need a copy get their own linear"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Linears with a slice of columns that more than attention reads."""
        for node in graph_module.graph.nodes:
            if is_op(node, "linear") and any(_is_copied(s) for s in _slices(node)):
                yield Match(node)

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """The slices partition what is read."""
        linear = match.anchor
        slices = _slices(linear)
        if len(slices) != len(linear.users):
            return "it is also read as a whole"
        if ops.arguments(linear)["residual"] is not None:
            return "it adds a residual, which would have to be split too"
        ends = [_bounds(s) for s in slices]
        if any(end > start for (_, end), (start, _) in pairwise(ends)):
            return "the slices overlap"
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """One linear for each copied slice, one for all the others."""
        linear = match.anchor
        slices = _slices(linear)
        copied = [s for s in slices if _is_copied(s)]
        kept = [s for s in slices if s not in copied]
        for piece in copied:
            replace(piece, _columns(graph_module, linear, [piece]))
        if kept:
            rest = _columns(graph_module, linear, kept)
            start = 0
            for piece in kept:
                width = shape(piece)[-1]
                part = emit(
                    graph_module, linear, "slice", rest, len(shape(rest)) - 1, start,
                    start + width, 1, origins=(piece,),
                )  # fmt: skip
                replace(piece, emit_reshape(graph_module, linear, part, shape(piece), (piece,)))
                start += width
        return f"{', '.join(s.name for s in copied)} projected apart from {linear.name}"


def _columns(graph_module: GraphModule, linear: Node, slices: list[Node]) -> Node:
    """`linear` for the columns of `slices` only."""
    arguments = ops.arguments(linear)
    rows = torch.cat([torch.arange(*_bounds(s)) for s in slices])
    changes = {}
    for name in ("weight", "bias"):
        value = constant(graph_module, arguments[name])
        if value is not None:
            changes[name] = add_constant(graph_module, str(arguments[name].target), value[rows])
    return changed(graph_module, linear, linear, (linear, *slices), **changes)


def _slices(linear: Node) -> list[Node]:
    """Slices of whole runs of the linear's columns, by first column."""
    last = len(shape(linear)) - 1
    found = [
        user
        for user in linear.users
        if is_op(user, "slice")
        and ops.arguments(user)["dim"] % (last + 1) == last
        and ops.arguments(user)["step"] == 1
    ]
    return sorted(found, key=_bounds)


def _bounds(piece: Node) -> tuple[int, int]:
    arguments = ops.arguments(piece)
    return int(arguments["start"]), int(arguments["end"])


def _is_copied(piece: Node) -> bool:
    """Whether anything but attention reads the slice."""
    waiting = [piece]
    while waiting:
        for user in waiting.pop().users:
            if is_link(user) or is_op(user, "slice"):
                waiting.append(user)
            elif not is_op(user, "attention"):
                return True
    return False
