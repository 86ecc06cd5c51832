"""fuse-pool-mixer: how much of the block joins, and each refusal."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from efcompile import ops
from efcompile.passes.fuse_pool_mixer import FusePoolMixer
from tests.passes.dialect import check_pass, counts, image, legalised, only, reasons


def pool(kernel: int = 3, stride: int = 1, padding: int = 1, count: bool = False) -> nn.Module:
    return nn.AvgPool2d(kernel, stride, padding, count_include_pad=count)


class Mixer(nn.Module):
    """A pool mixer behind a stem."""

    def __init__(
        self, pool: nn.Module, finish: Callable[["Mixer", Tensor, Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.stem, self.pool, self.finish = nn.Conv2d(3, 6, 3, padding=1), pool, finish
        self.gamma = nn.Parameter(torch.rand(6) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        return self.finish(self, y, self.pool(y)).mean((2, 3))


def full(m: Mixer, y: Tensor, pooled: Tensor) -> Tensor:
    return y + m.gamma[:, None, None] * (pooled - y)


@pytest.mark.parametrize(
    ("finish", "scale", "residual"),
    [
        (full, True, True),
        (lambda m, y, p: p - y, False, False),
        (lambda m, y, p: (p - y) + y.exp(), False, True),
        (lambda m, y, p: (p - y) * m.gamma.reshape(1, 6, 1, 1), True, False),
    ],
)
def test_takes_what_is_there(
    finish: Callable[[Mixer, Tensor, Tensor], Tensor], scale: bool, residual: bool
) -> None:
    x = image(2, 3, 7, 5)
    graph_module = legalised(Mixer(pool(), finish), x)
    check_pass(FusePoolMixer(), graph_module, x)
    assert not {"avg_pool2d", "binary"} & set(counts(graph_module))
    arguments = ops.arguments(only(graph_module, "pool_mixer"))
    assert (arguments["scale"] is not None) == scale
    assert (arguments["residual"] is not None) == residual


def test_what_does_not_fit_stays_outside() -> None:
    """A scale by position is none by channel."""
    x = image(2, 3, 7, 5)

    def finish(m: Mixer, y: Tensor, pooled: Tensor) -> Tensor:
        return y + torch.arange(5.0) * (pooled - y)

    graph_module = legalised(Mixer(pool(), finish), x)
    check_pass(FusePoolMixer(), graph_module, x)
    assert counts(graph_module)["binary"] == 2 and counts(graph_module)["pool_mixer"] == 1


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Mixer(pool(count=True), full), "counts its padding"),
        (Mixer(pool(), lambda m, y, p: (p - y) * p), "other readers"),
    ],
)
def test_refusals(model: nn.Module, reason: str) -> None:
    x = image(2, 3, 7, 5)
    graph_module = legalised(model, x)
    outcome = check_pass(FusePoolMixer(), graph_module, x)
    assert outcome.rewritten == () and reason in reasons(outcome)


@pytest.mark.parametrize(
    ("window", "size", "reason"),
    [((2, 1, 1), 1, "odd"), ((3, 2, 1), 1, "stride"), ((5, 1, 1), 3, "changes the size")],
)
def test_windows(window: tuple[int, int, int], size: int, reason: str) -> None:
    """Where pooled and plain image differ in size, one of them has one pixel."""
    x = image(2, 3, size, size)
    graph_module = legalised(Mixer(pool(*window), lambda m, y, p: (p - y).exp()), x)
    outcome = check_pass(FusePoolMixer(), graph_module, x)
    assert outcome.rewritten == () and reason in reasons(outcome)
