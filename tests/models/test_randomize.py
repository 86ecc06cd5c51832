from types import ModuleType
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from efcompile.models.blocks import LayerScale
from efcompile.models.input_size import default_input_size
from efcompile.models.randomize import randomize
from efcompile.models.zoo import resolve_model
from tests.models.parity import relative_error


class Small(nn.Module):
    """``[N, 3, 4, 4]`` to ``[N, 128]``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 3)
        self.norm = nn.BatchNorm2d(64)
        self.ls1 = LayerScale(64, spatial=True)
        self.last_norm = nn.LayerNorm(256)
        self.linear = nn.Linear(256, 128)
        self.token = nn.Parameter(torch.zeros(256))

    def forward(self, x: Tensor) -> Tensor:
        features = self.ls1(self.norm(self.conv(x))).flatten(1) + self.token
        return cast(Tensor, self.linear(self.last_norm(features)))


def _statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None and norm.running_var is not None
    return norm.running_mean, norm.running_var


@torch.no_grad()
def test_everything_matters() -> None:
    model = randomize(Small())
    mean, var = _statistics(model.norm)
    assert 0.5 / 27**0.5 < model.conv.weight.std() < 2 / 27**0.5
    assert model.conv.bias is not None and model.conv.bias.std() > 0.05
    assert mean.std() > 0.3
    assert 0.5 <= var.min() < 0.8 and 1.7 < var.max() <= 2
    assert 0.5 <= model.norm.weight.min() < 0.7 and 1.3 < model.norm.weight.max() <= 1.5
    assert model.norm.bias.std() > 0.1
    assert 0.8 <= model.ls1.gamma.min() < 0.9 and 1.1 < model.ls1.gamma.max() <= 1.2
    assert model.last_norm.weight.std() > 0.2 and model.last_norm.bias.std() > 0.1
    assert 0.5 / 16 < model.linear.weight.std() < 2 / 16
    assert model.token.std() > 0.2


def test_only_the_seed_decides() -> None:
    states = []
    for torch_seed, seed in ((0, 7), (1, 7), (1, 8)):
        torch.manual_seed(torch_seed)
        states.append(randomize(Small(), seed).state_dict())
    same = [torch.equal(states[0][key], states[1][key]) for key in states[0]]
    other = [torch.equal(states[1][key], states[2][key]) for key in states[0]]
    assert all(same)
    assert [key for key, equal in zip(states[0], other, strict=True) if equal] == [
        "norm.num_batches_tracked"
    ]


def test_torchs_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    model = Small()
    torch.set_rng_state(before)
    randomize(model)
    assert torch.equal(torch.get_rng_state(), before)


@torch.no_grad()
def test_statistics_fit_the_inputs() -> None:
    inputs = 10 + 5 * torch.randn(8, 3, 4, 4)
    model = randomize(Small(), 0, (inputs,)).eval()
    mean, var = _statistics(model.norm)
    arriving = model.conv(inputs)
    assert 0.3 < float(model.norm(arriving).std()) < 3
    disturbance = (mean - arriving.mean((0, 2, 3))) / var.sqrt()
    assert 0.2 < float(disturbance.std()) < 1


def test_modes_stay_as_they_are() -> None:
    model = Small()
    model.norm.eval()
    before = [module.training for module in model.modules()]
    randomize(model, 0, (torch.randn(2, 3, 4, 4),))
    assert [module.training for module in model.modules()] == before


def test_a_shared_weight_is_drawn_once() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    expected = randomize(nn.Sequential(first), 3).state_dict()["0.weight"].clone()
    second.weight = first.weight
    assert torch.equal(
        randomize(nn.Sequential(first, second), 3).state_dict()["1.weight"], expected
    )


@pytest.mark.parametrize(
    "source",
    [
        "efficientformer_l1",
        "efficientformerv2_s0",
        "timm:deit_small_patch16_224",
        "timm:poolformer_s24",
        "timm:levit_256",
        "timm:mobilenetv2_100",
        "timm:mobilevit_xs",
    ],
)
@torch.no_grad()
def test_whole_models_stay_sane(source: str, request: pytest.FixtureRequest) -> None:
    """Activations neither explode nor die, and the output hangs on the input."""
    if source.startswith("timm:"):
        request.getfixturevalue("timm")
    model = randomize(resolve_model(source)).eval()
    largest = 0.0

    def watch(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal largest
        if isinstance(output, Tensor):
            largest = max(largest, float(output.abs().max()))

    for module in model.modules():
        module.register_forward_hook(watch)
    size = default_input_size(model)
    assert size is not None
    generator = torch.Generator().manual_seed(5)
    first, second = torch.randn(2, 1, *size, generator=generator)
    expected = model(first)
    assert 0.5 < expected.abs().max() < 100
    assert largest < 500
    assert relative_error(model(second), expected) > 0.05


def test_caches_are_made_from_the_new_weights(timm: ModuleType) -> None:
    model = timm.create_model("efficientformerv2_s0").eval()
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        model(images)
        randomize(model)
        expected = model(images)
        model.train().eval()
        assert torch.equal(model(images), expected)
