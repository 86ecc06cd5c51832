"""fuse-pool-head: the three kinds of heads, and each refusal."""

from collections.abc import Callable

import pytest
from torch import Tensor, nn

from efcompile import ops
from efcompile.passes.fuse_norm_linear import FuseNormLinear
from efcompile.passes.fuse_pool_head import FusePoolHead
from tests.passes.dialect import (
    after,
    check_pass,
    counts,
    image,
    only,
    reasons,
    with_epilogues,
)


class Head(nn.Module):
    """A norm, a classifier, and a function that puts them together."""

    def __init__(self, function: Callable[["Head", Tensor], Tensor]) -> None:
        super().__init__()
        self.norm, self.fc, self.function = nn.LayerNorm(6), nn.Linear(6, 4), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


HEADS = {
    "none": lambda m, x: m.fc(x.mean(1)),
    "before": lambda m, x: m.fc(m.norm(x).mean(1)),
    "after": lambda m, x: m.fc(m.norm(x.mean(1))),
}


@pytest.mark.parametrize("norm", sorted(HEADS))
def test_tokens(norm: str) -> None:
    graph_module = with_epilogues(Head(HEADS[norm]), image(2, 5, 6))
    after([FuseNormLinear()], graph_module)
    check_pass(FusePoolHead(), graph_module, image(2, 5, 6))
    assert counts(graph_module) == {"pool_linear": 1}
    assert ops.arguments(only(graph_module, "pool_linear"))["norm"] == norm


class ImageHead(nn.Module):
    """Pooling with kept dimensions, a channel norm, then a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 6, 3), nn.LayerNorm(6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x).mean((2, 3), keepdim=True)
        out: Tensor = self.fc(self.norm(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).flatten(1))
        return out


def test_image() -> None:
    graph_module = with_epilogues(ImageHead(), image(2, 3, 7, 5))
    after([FuseNormLinear()], graph_module)
    check_pass(FusePoolHead(), graph_module, image(2, 3, 7, 5))
    assert counts(graph_module) == {"conv2d": 1, "pool_linear": 1}


def test_a_norm_with_other_readers_stays_outside() -> None:
    def head(m: Head, x: Tensor) -> Tensor:
        y = m.norm(x)
        out: Tensor = m.fc(y.mean(1)) * y[:, 0, :4]
        return out

    graph_module = with_epilogues(Head(head), image(2, 5, 6))
    check_pass(FusePoolHead(), graph_module, image(2, 5, 6))
    assert counts(graph_module)["layer_norm"] == 1 and counts(graph_module)["pool_linear"] == 1


def features_twice(m: Head, x: Tensor) -> Tensor:
    y = x.mean(1)
    out: Tensor = m.fc(y) * y[:, :4]
    return out


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda m, x: m.fc(x.mean(0)), "not over all positions"),
        (features_twice, "other readers"),
        (lambda m, x: m.fc(x.mean(1)).relu(), "activation follows"),
        (lambda m, x: m.fc(x.mean(1)) + x[:, 1, :4], "residual follows"),
    ],
)
def test_refusals(function: Callable[[Head, Tensor], Tensor], reason: str) -> None:
    graph_module = with_epilogues(Head(function), image(2, 5, 6))
    outcome = check_pass(FusePoolHead(), graph_module, image(2, 5, 6))
    assert outcome.rewritten == () and reason in reasons(outcome)
