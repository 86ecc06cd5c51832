"""The copy that is traced."""

import pytest
import torch
from torch import Tensor, nn

from efcompile.capture.isolation import isolated_copy
from efcompile.errors import CaptureError


class Caching(nn.Module):
    """Keeps a tensor made from its weight in nested plain attributes, until training starts."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.cache: dict[str, list[Tensor]] = {}

    def train(self, mode: bool = True) -> "Caching":
        super().train(mode)
        if mode:
            self.cache = {}
        return self

    def forward(self, x: Tensor) -> Tensor:
        if "double" not in self.cache:
            self.cache["double"] = [self.weight * 2]
        return x * self.cache["double"][0]


def test_the_copy_is_in_eval_mode_and_the_original_is_left_alone() -> None:
    linear, norm = nn.Linear(2, 2), nn.BatchNorm1d(2)
    model = nn.Sequential(linear, norm)
    norm.eval()
    twin = isolated_copy(model)
    assert not any(module.training for module in twin.modules())
    assert model.training and linear.training and not norm.training
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert bool(linear.weight.any())


def test_caches_of_earlier_runs_do_not_get_in() -> None:
    model = Caching().eval()
    model(torch.ones(3))  # with grad: the cached tensor is one that deepcopy refuses
    cached = model.cache["double"][0]
    assert not cached.is_leaf
    twin = isolated_copy(model)
    assert isinstance(twin, Caching) and twin.cache == {}
    assert model.cache["double"][0] is cached


def test_weights_without_data_are_refused() -> None:
    with pytest.raises(CaptureError, match="weight is on the meta device"):
        isolated_copy(nn.Linear(2, 2, device="meta"))


def test_a_module_that_cannot_be_copied_is_refused() -> None:
    class Stubborn(nn.Linear):
        def __deepcopy__(self, memo: object) -> None:
            raise RuntimeError("one of a kind")

    with pytest.raises(CaptureError, match=r"Stubborn cannot be copied .*one of a kind"):
        isolated_copy(Stubborn(2, 2))
