"""A small network whose stages can be timed, and passes planted into its pipeline."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from efcompile.models.randomize import randomize
from efcompile.passes.base import Exactness, Match, Pass, add_constant
from efcompile.passes.pipeline import build_pipeline
from efcompile.passes.rewriting import emit
from efcompile.report.subject import Subject, subject_of

aten = torch.ops.aten
CHANNELS, SIDE = 32, 29


class Block(nn.Module):
    """Convolution, batch norm, GELU, pointwise convolution, residual."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(CHANNELS)
        self.mix = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.mix(nn.functional.gelu(self.norm(self.conv(x))))
        return x + y


class Blocks(nn.Module):
    """An image [N, 32, 29, 29] to logits [N, 7]."""

    default_input_size = (CHANNELS, SIDE, SIDE)

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(Block(), Block())
        self.head = nn.Linear(CHANNELS, 7)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(x).mean((2, 3)))
        return logits


@dataclass(frozen=True)
class Wasteful(Pass):
    """Puts a convolution that changes nothing behind every GELU."""

    name: ClassVar[str] = "wasteful"
    summary: ClassVar[str] = "useless work"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Every GELU without one."""
        for node in graph_module.graph.nodes:
            if node.target is aten.gelu.default and not any(
                user.target is aten.conv2d.default and str(user.args[1]).startswith("useless")
                for user in node.users
            ):
                yield Match(node)

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """Always willing."""
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """A 3x3 kernel that is one in the middle, on its own channel."""
        node = match.anchor
        delta = torch.zeros(CHANNELS, CHANNELS, 3, 3)
        delta[range(CHANNELS), range(CHANNELS), 1, 1] = 1.0
        weight = add_constant(graph_module, "useless", delta)
        more = (weight, None, [1, 1], [1, 1], [1, 1], 1)
        new = emit(graph_module, node.next, aten.conv2d.default, node, *more, origins=(node,))
        node.replace_all_uses_with(new)
        new.update_arg(0, node)
        return f"{node.name} -> useless conv2d"


@dataclass(frozen=True)
class Swapped(Pass):
    """Turns the operands of additions round: another graph of the same cost."""

    name: ClassVar[str] = "swapped"
    summary: ClassVar[str] = "additions the other way round"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Additions whose first operand comes first in the graph."""
        order = {node: place for place, node in enumerate(graph_module.graph.nodes)}
        for node in graph_module.graph.nodes:
            if node.target is aten.add.Tensor and order[node.args[0]] < order[node.args[1]]:
                yield Match(node)

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """Always willing."""
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """The same node with its operands exchanged."""
        node = match.anchor
        node.args = (node.args[1], node.args[0], *node.args[2:])
        return f"{node.name} turned round"


@dataclass(frozen=True)
class Wrong(Pass):
    """Replaces every GELU by a ReLU and says that nothing changed."""

    name: ClassVar[str] = "wrong"
    summary: ClassVar[str] = "another function"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Every GELU."""
        for node in graph_module.graph.nodes:
            if node.target is aten.gelu.default:
                yield Match(node)

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """Always willing."""
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """The other function in its place."""
        node = match.anchor
        new = emit(graph_module, node, aten.relu.default, node.args[0], origins=(node,))
        node.replace_all_uses_with(new)
        graph_module.graph.erase_node(node)
        return "gelu -> relu"


@dataclass(frozen=True)
class Rough(Wrong):
    """The same, but it says so."""

    name: ClassVar[str] = "rough"
    exactness: ClassVar[Exactness] = "approximate"


def subject(*passes: Pass | str, batch: int = 1) -> Subject:
    """`Blocks` with random weights through `passes` (and legalise)."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, CHANNELS, SIDE, SIDE, generator=generator)
    return subject_of(randomize(Blocks().eval()), x, build_pipeline(passes), "blocks")
