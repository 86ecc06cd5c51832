"""fuse-mlp and each refusal."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from efcompile import ops
from efcompile.passes.base import sources
from efcompile.passes.fuse_mlp import FuseMlp
from tests.passes.dialect import check_pass, counts, image, only, reasons, with_epilogues


class Block(nn.Module):
    """Two linears, combined by a function."""

    def __init__(self, function: Callable[["Block", Tensor], Tensor]) -> None:
        super().__init__()
        self.fc1, self.fc2, self.function = nn.Linear(6, 12), nn.Linear(12, 6, False), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


@pytest.mark.parametrize("residual", [False, True])
def test_rows(residual: bool) -> None:
    def block(m: Block, x: Tensor) -> Tensor:
        y: Tensor = m.fc2(F.gelu(m.fc1(x)))
        return x + y if residual else y

    graph_module = with_epilogues(Block(block), image(2, 5, 6))
    check_pass(FuseMlp(), graph_module, image(2, 5, 6))
    assert counts(graph_module) == {"mlp": 1}
    arguments = ops.arguments(only(graph_module, "mlp"))
    assert (arguments["residual"] is not None) == residual and arguments["act"] == "gelu"
    assert set(sources(only(graph_module, "mlp"))) >= {"fc1", "fc2"}


class Pointwise(nn.Module):
    """V1's image block: 1x1 convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, 2, 1)
        self.fc1, self.fc2 = nn.Conv2d(6, 12, 1), nn.Conv2d(12, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        out: Tensor = (x + self.fc2(F.gelu(self.fc1(x)))).mean((2, 3))
        return out


def test_image() -> None:
    graph_module = with_epilogues(Pointwise(), image(2, 3, 7, 9))
    check_pass(FuseMlp(), graph_module, image(2, 3, 7, 9))
    assert counts(graph_module) == {"conv2d": 1, "mlp": 1, "mean": 1}


def hidden_twice(m: Block, x: Tensor) -> Tensor:
    hidden = F.gelu(m.fc1(x))
    out: Tensor = m.fc2(hidden) * hidden.mean(-1, keepdim=True)
    return out


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (hidden_twice, "have other readers"),
        (lambda m, x: m.fc2(m.fc1(x)), "no activation between"),
        (lambda m, x: m.fc2(m.fc1(x).relu() + torch.cat([x, x], -1)), "joins the hidden rows"),
        (lambda m, x: m.fc2(m.fc1(x).relu()).sigmoid(), "follows the second linear"),
    ],
)
def test_refusals(function: Callable[[Block, Tensor], Tensor], reason: str) -> None:
    graph_module = with_epilogues(Block(function), image(2, 1, 6))
    outcome = check_pass(FuseMlp(), graph_module, image(2, 1, 6))
    assert outcome.rewritten == () and reason in reasons(outcome)
