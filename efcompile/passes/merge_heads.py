"""merge-heads: the sum or mean of two linear heads is one linear head.

Before::

    x -> linear (W1, b1) -\\
                           add [-> mul number]
    x -> linear (W2, b2) -/

After::

    x -> linear (s (W1 + W2), s (b1 + b2))

Preconditions: both read the same input and are of the same size; nothing else reads either of
them, nor the sum before it is scaled.  ``s`` is the number, or 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.fx import GraphModule, Node

from efcompile.passes.base import Match, Pass
from efcompile.passes.projection import LINEAR, emit_projection, projection, substitute

ADD, MUL = torch.ops.aten.add.Tensor, torch.ops.aten.mul.Tensor


@dataclass(frozen=True)
class MergeHeads(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "merge-heads"
    summary: ClassVar[str] = "the mean of two linear heads into one linear head"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Sums of two linears."""
        for node in graph_module.graph.nodes:
            operands = node.args
            if node.target is ADD and all(
                isinstance(x, Node) and x.target is LINEAR for x in operands
            ):
                first, second = operands
                yield Match(node, {"first": first, "second": second})

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """Same input, same size, constant weights, no other reader."""
        first, second = match.nodes["first"], match.nodes["second"]
        one, two = projection(graph_module, first), projection(graph_module, second)
        if one is None or two is None:
            return "the weights are not constant"
        if one.input is not two.input:
            return f"{first.name} reads {one.input.name}, {second.name} reads {two.input.name}"
        if one.weight.shape != two.weight.shape:
            return f"{first.name} and {second.name} differ in size, the sum broadcasts"
        for node in (first, second):
            if len(node.users) > 1 and first is not second:
                return f"{node.name} is read by others too"
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """One linear instead of both, the sum and its factor."""
        total = match.anchor
        one = projection(graph_module, match.nodes["first"])
        two = projection(graph_module, match.nodes["second"])
        assert one is not None and two is not None
        last, factor = total, 1.0
        readers = list(total.users)
        if len(readers) == 1 and readers[0].target is MUL:
            number = readers[0].args[1]
            if isinstance(number, int | float):
                last, factor = readers[0], float(number)
        weight = factor * (one.weight.double() + two.weight.double())
        biases = [x.bias.double() for x in (one, two) if x.bias is not None]
        bias = factor * torch.stack(biases).sum(0) if biases else None
        new = emit_projection(graph_module, one, weight, bias, two.node, total, last)
        substitute(last, new)
        return f"{one.node.name} and {two.node.name}, times {factor:g}"
