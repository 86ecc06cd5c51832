import pytest
import torch
from torch import Tensor, nn

from efcompile.models.caches import drop_caches, modes_kept


class Caching(nn.Module):
    """Doubles its weight once, for evaluation, until the mode changes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.cache: Tensor | None = None

    def train(self, mode: bool = True) -> "Caching":
        self.cache = None
        super().train(mode)
        return self

    def forward(self) -> Tensor:
        if self.cache is None:
            self.cache = self.weight * 2
        return self.cache


class FrozenInPart(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.caching = Caching()
        self.norm = nn.BatchNorm2d(3).eval()


def _modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


def test_caches_are_made_anew_and_modes_stay() -> None:
    model = FrozenInPart()
    modes = _modes(model)
    assert model.caching() == 2
    with torch.no_grad():
        model.caching.weight.fill_(5)
    assert model.caching() == 2
    drop_caches(model)
    assert model.caching() == 10
    assert _modes(model) == modes
    assert len(set(modes)) == 2


def test_modes_come_back_after_an_error() -> None:
    model = FrozenInPart()
    modes = _modes(model)
    with pytest.raises(KeyError), modes_kept(model):
        model.eval()
        raise KeyError
    assert _modes(model) == modes
