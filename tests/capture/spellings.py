"""Shared by the tests of spellings: a function, captured, must compute the same in few ops."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from efcompile.capture import capture

Function = Callable[..., Any]


class Plain(nn.Module):
    """A function as a module."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


def spelled(function: Function, *inputs: Tensor) -> list[str]:
    """The op names of the captured function, in order, after a check of its results."""
    graph_module = capture(Plain(function), inputs).graph_module
    wanted = function(*inputs)
    flat = [wanted] if isinstance(wanted, Tensor) else list(wanted)
    for got, reference in zip(graph_module(*inputs), flat, strict=True):
        torch.testing.assert_close(got, reference, equal_nan=True)
    calls = [n for n in graph_module.graph.nodes if n.op == "call_function"]
    return [str(n.target).removeprefix("aten.") for n in calls]


def random(*shape: int, seed: int = 0) -> Tensor:
    """Normal random numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
