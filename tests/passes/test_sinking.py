"""Each rule of sinking: through which ops a chain moves, and through which it must not."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from efcompile.passes.cancel_reshapes import CancelReshapes
from efcompile.passes.legalise import Legalise
from tests.passes.dialect import after, captured, check_pass, counts, image

SHAPE = (2, 6, 5, 7)


class Between(nn.Module):
    """Something between two convolutions of an image."""

    def __init__(self, function: Callable[[Tensor], Tensor], channels: int = 8) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(6, 8, 1), nn.Conv2d(channels, 3, 1)
        self.function = function
        self.table = nn.Parameter(torch.randn(8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.function(self.first(x))).mean((2, 3))
        return y


def gated(x: Tensor) -> Tensor:
    return x * x.mean((2, 3), keepdim=True).sigmoid()


def tokens(x: Tensor) -> Tensor:
    y = x.flatten(2).transpose(1, 2)
    y = nn.functional.layer_norm(y, (8,)).softmax(-1) + y
    return y.transpose(1, 2).reshape(x.shape)


THROUGH: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "activation": (lambda x: x.sigmoid(), 8),
    "scalar": (lambda x: x * 2 + 1, 8),
    "residual": (lambda x: x + x.relu(), 8),
    "constant": (lambda x: x * torch.arange(8.0).reshape(8, 1, 1), 8),
    "gate": (gated, 8),
    "concat": (lambda x: torch.cat([x, x.exp()], 1), 16),
    "channels": (lambda x: x[:, 2:6], 4),
    "rows": (lambda x: x[:, :, ::2], 8),
    "pad": (lambda x: nn.functional.pad(x, (1, 2, 0, 1)), 8),
    "channel_pad": (lambda x: nn.functional.pad(x, (0, 0, 0, 0, 1, 2)), 11),
    "channel_softmax": (lambda x: x.softmax(1), 8),
    "tokens": (tokens, 8),
    "mean": (lambda x: x.mean(3, keepdim=True), 8),
}


@pytest.mark.parametrize("name", sorted(THROUGH))
@pytest.mark.parametrize("batch", [1, 2])
def test_nothing_moves_between_convolutions(name: str, batch: int) -> None:
    """The one permute left is that of the model's input, which the convolution takes over."""
    function, channels = THROUGH[name]
    x = image(batch, *SHAPE[1:])
    graph_module = after([Legalise()], captured(Between(function, channels), x))
    outcome = check_pass(CancelReshapes(), graph_module, x)
    assert "permute" not in counts(graph_module)
    assert outcome.rewritten and outcome.refused == ()


def swapped(x: Tensor) -> Tensor:
    """Height and width change places for good."""
    return x.transpose(2, 3).sigmoid()


def shuffled(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def over_split_rows(x: Tensor) -> Tensor:
    """Softmax over all positions of a channel: they do not lie side by side."""
    return x.flatten(2).softmax(-1).reshape(x.shape)


STAY = {"swapped": (swapped, 1), "shuffled": (shuffled, 1), "positions": (over_split_rows, 2)}


@pytest.mark.parametrize("name", sorted(STAY))
def test_real_movement_stays_and_is_reported(name: str) -> None:
    function, permutes = STAY[name]
    x = image(*SHAPE)
    graph_module = after([Legalise()], captured(Between(function), x))
    outcome = check_pass(CancelReshapes(), graph_module, x)
    assert counts(graph_module)["permute"] == permutes == len(outcome.refused)
    assert all("moves data for real" in refusal.reason for refusal in outcome.refused)


class Unlike(nn.Module):
    """An addition of two operands in different orders: one of them has to move."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).exp() + x.reshape(x.shape[0], x.shape[2], x.shape[1])


def test_addition_of_unlike_orders() -> None:
    graph_module = after([Legalise()], captured(Unlike(), image(2, 5, 7)))
    check_pass(CancelReshapes(), graph_module, image(2, 5, 7))
    assert counts(graph_module)["permute"] == 1


class Two(nn.Module):
    """Convolutions in two branches, concatenated, and one that is permuted otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(6, 4, 1), nn.Conv2d(6, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.first(x), self.second(x).transpose(2, 3)], 1)


def test_concat_of_unlike_orders_stays() -> None:
    x = image(2, 6, 5, 5)
    graph_module = after([Legalise()], captured(Two(), x))
    check_pass(CancelReshapes(), graph_module, x)
    assert counts(graph_module)["permute"] == 2
