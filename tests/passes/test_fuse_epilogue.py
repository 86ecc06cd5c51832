"""fuse-epilogue: what joins which op, in which order, and what does not."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from efcompile import ops
from efcompile.passes.base import sources
from efcompile.passes.fuse_epilogue import FuseEpilogue
from tests.passes.dialect import check_pass, counts, image, only, reasons, with_linears


class Model(nn.Module):
    """Layers of a few kinds for a function to combine."""

    def __init__(self, function: Callable[["Model", Tensor], Tensor]) -> None:
        super().__init__()
        self.fc, self.fc2 = nn.Linear(6, 6), nn.Linear(6, 6)
        self.norm = nn.BatchNorm1d(6)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def run(function: Callable[[Model, Tensor], Tensor]) -> tuple[torch.fx.GraphModule, str]:
    x = image(5, 6)
    graph_module = with_linears(Model(function), x)
    outcome = check_pass(FuseEpilogue(), graph_module, x)
    return graph_module, reasons(outcome)


def test_activation_then_residual() -> None:
    graph_module, why = run(lambda m, x: x + F.gelu(m.fc(x)))
    arguments = ops.arguments(only(graph_module, "linear"))
    assert arguments["act"] == "gelu" and arguments["residual"].op == "placeholder"
    assert counts(graph_module) == {"linear": 1} and why == ""
    assert "fc" in sources(only(graph_module, "linear"))


@pytest.mark.parametrize(
    ("function", "op"),
    [
        (lambda m, x: m.norm(x).relu(), "affine"),
        (lambda m, x: (x * x.T.reshape(5, 6)).relu(), "binary"),
    ],
)
def test_activation_joins(function: Callable[[Model, Tensor], Tensor], op: str) -> None:
    graph_module, _ = run(function)
    assert ops.arguments(only(graph_module, op))["act"] == "relu"


class Images(nn.Module):
    """A convolution with an activation and a residual, then a resize with an activation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        y = F.interpolate(y + self.conv(y).relu(), scale_factor=2, mode="bilinear")
        return F.gelu(y).mean((2, 3))


def test_images() -> None:
    x = image(2, 3, 4, 5)
    graph_module = with_linears(Images(), x)
    check_pass(FuseEpilogue(), graph_module, x)
    assert counts(graph_module) == {"conv2d": 2, "resize": 1, "mean": 1}
    assert ops.arguments(only(graph_module, "resize"))["act"] == "gelu"


def test_residual_through_a_view() -> None:
    """The linear keeps its shape, the residual is viewed instead."""
    graph_module, _ = run(lambda m, x: m.fc(x).reshape(2, 15) + x.exp().reshape(2, 15))
    assert set(counts(graph_module)) == {"linear", "activation", "reshape"}
    assert ops.arguments(only(graph_module, "linear"))["residual"] is not None


def test_the_later_side_takes_the_other() -> None:
    graph_module, _ = run(lambda m, x: m.fc(x).relu() + m.fc2(x))
    assert counts(graph_module) == {"linear": 2}
    with_residual = [
        n
        for n in graph_module.graph.nodes
        if n.op == "call_function" and ops.arguments(n)["residual"] is not None
    ]
    assert sources(with_residual[0])[0] == "fc2"


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda m, x: (lambda y: y.relu() * y)(m.fc(x)), "has other readers"),
        (lambda m, x: (lambda y: (y + x) * y)(m.fc(x)), "has other readers"),
        (lambda m, x: (m.fc(x) + x).relu(), "adds its residual after its activation"),
        (lambda m, x: m.fc(x).relu().sigmoid(), "has an activation already"),
        (lambda m, x: m.fc(x) + x[:1], "broadcasts"),
        (lambda m, x: m.fc(x) + x + x.exp(), "has a residual already"),
        (lambda m, x: (lambda y: y + y)(m.fc(x)), "same value"),
    ],
)
def test_refusals(function: Callable[[Model, Tensor], Tensor], reason: str) -> None:
    _, why = run(function)
    assert reason in why
