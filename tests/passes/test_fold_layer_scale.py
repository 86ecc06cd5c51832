"""fold-layer-scale: factors per channel into the projection before them."""

import pytest
import torch
from torch import Tensor, nn

from efcompile.passes.fold_layer_scale import FoldLayerScale
from tests.passes.dialect import captured, check_pass, counts, image, reasons

IMAGE, TOKENS = (2, 4, 9, 7), (2, 5, 4)


class Scaled(nn.Module):
    """``gamma * project(x)``, gamma seen with `shape`, behind an optional permute."""

    def __init__(
        self, project: nn.Module, shape: tuple[int, ...], dims: tuple[int, ...] | None = None
    ) -> None:
        super().__init__()
        self.project, self.shape, self.dims = project, shape, dims
        self.gamma = nn.Parameter(torch.ones(abs(torch.empty(shape).numel())))

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(x)
        if self.dims is not None:
            y = y.permute(self.dims)
        result: Tensor = x.mean() + self.gamma.view(self.shape) * y
        return result


FOLDED: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "conv": (Scaled(nn.Conv2d(4, 6, 3), (6, 1, 1)), IMAGE),
    "conv_batched": (Scaled(nn.Conv2d(4, 6, 1, bias=False), (1, 6, 1, 1)), IMAGE),
    "linear": (Scaled(nn.Linear(4, 6), (6,)), TOKENS),
    "permuted": (Scaled(nn.Linear(4, 6), (6, 1), (0, 2, 1)), TOKENS),
    "one_number": (Scaled(nn.Linear(4, 6), (1,)), TOKENS),
}


@pytest.mark.parametrize("name", FOLDED)
def test_the_factor_is_gone_and_numbers_stay(name: str) -> None:
    model, size = FOLDED[name]
    x = image(*size)
    graph_module = captured(model, x)
    outcome = check_pass(FoldLayerScale(), graph_module, x)
    assert len(outcome.rewritten) == 1
    assert "mul" not in counts(graph_module)


class Mixer(nn.Module):
    """A scaled pool mixer: nothing with weights to take the factor."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(4))
        self.pool = nn.AvgPool2d(3, 1, 1, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.gamma.view(4, 1, 1) * (self.pool(x) - x)
        return result


class AlsoUnscaled(Scaled):
    """The projection is read without the factor too."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(x)
        result: Tensor = self.gamma * y + y.exp()
        return result


class Broadcasting(nn.Module):
    """The factor has more elements than what it scales."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.gamma = nn.Linear(4, 1), nn.Parameter(torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.project(x) * self.gamma
        return result


REFUSED: dict[str, tuple[nn.Module, tuple[int, ...], str]] = {
    "mixer": (Mixer(), IMAGE, "has no constant weights"),
    "read_twice": (AlsoUnscaled(nn.Linear(4, 6), (6,)), TOKENS, "also read unscaled"),
    "wrong_axis": (Scaled(nn.Linear(4, 6), (5, 1)), TOKENS, "get different factors"),
    "broadcast": (Broadcasting(), TOKENS, "broadcasts what it scales"),
    "no_projection": (Scaled(nn.ReLU(), (4,)), TOKENS, "has no constant weights"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_say_why(name: str) -> None:
    model, size, reason = REFUSED[name]
    x = image(*size)
    graph_module = captured(model, x)
    outcome = check_pass(FoldLayerScale(), graph_module, x)
    assert not outcome.rewritten
    assert reason in reasons(outcome)
