"""A small model as tuning sees it, compiled once for all tests of this folder."""

from functools import cache

import torch
from torch import nn
from torch.fx import GraphModule

import efcompile
from efcompile.models.randomize import randomize
from efcompile.targets.resolve import resolve
from efcompile.tuning.task import Task
from efcompile.tuning.workload import tasks_of


class Mixing(nn.Module):
    """[N, 8, 10, 10]: a stem, twice the same pointwise MLP with a residual, a head."""

    default_input_size = (8, 10, 10)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(8, 24, 3, padding=1)
        self.up = nn.ModuleList(nn.Conv2d(24, 72, 1) for _ in range(2))
        self.down = nn.ModuleList(nn.Conv2d(72, 24, 1) for _ in range(2))
        self.scale = nn.Parameter(torch.ones(24, 1, 1))
        self.head = nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        for up, down in zip(self.up, self.down, strict=True):
            x = x + self.scale * down(nn.functional.gelu(up(x)))
        logits: torch.Tensor = self.head(x.mean((2, 3)))
        return logits


def mixing() -> Mixing:
    """`Mixing` in eval mode with random weights, and the layer scales of a fresh model."""
    model = randomize(Mixing().eval())
    nn.init.constant_(model.scale, 1e-5)
    return model


@cache
def compiled(target: str = "host") -> efcompile.CompiledModel:
    """`Mixing`, compiled without records of any kind."""
    return efcompile.optimize(mixing(), target=target, threads=1, tuned=False)


def graph(target: str = "host") -> GraphModule:
    """Its last stage."""
    history = compiled(target).history
    assert history is not None
    return history.stages[-1].graph_module


@cache
def tasks(target: str = "host") -> tuple[Task, ...]:
    """Its tasks."""
    return tasks_of(graph(target), resolve(target))


def task(kernel: str, target: str = "host") -> Task:
    """Its first task of that kernel."""
    return next(one for one in tasks(target) if one.kernel.name == kernel)
