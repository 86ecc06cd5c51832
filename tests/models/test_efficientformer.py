from types import ModuleType

import pytest
import torch

from efcompile.errors import InputError
from efcompile.models.efficientformer import PoolMixer, efficientformer_l1
from efcompile.models.randomize import randomize
from efcompile.models.zoo import create
from tests.models.parity import assert_twins, relative_error

PARAMETERS = {
    "efficientformer_l1": 12_289_928,
    "efficientformer_l3": 31_406_000,
    "efficientformer_l7": 82_229_328,
}


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_parameter_count(name: str, count: int) -> None:
    assert sum(p.numel() for p in create(name).parameters()) == count


@pytest.mark.parametrize("name", PARAMETERS)
def test_parity_with_timm(name: str, timm: ModuleType) -> None:
    assert_twins(create(name), timm.create_model(name), 224)


def test_pool_mixer_averages_only_what_is_there() -> None:
    x = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    assert torch.allclose(PoolMixer()(x), 3.0 - x)


@pytest.mark.parametrize("resolution", [64, 160])
def test_other_resolutions(resolution: int) -> None:
    model = randomize(efficientformer_l1(resolution=resolution, num_classes=7)).eval()
    with torch.no_grad():
        logits = model(torch.randn(3, 3, resolution, resolution))
    assert logits.shape == (3, 7)
    assert logits.isfinite().all()
    side = resolution // 32
    tables = [t for k, t in model.state_dict().items() if k.endswith("attention_biases")]
    assert [t.shape for t in tables] == [(8, side * side)]


def test_output_is_the_mean_of_both_heads() -> None:
    model = randomize(efficientformer_l1(resolution=32, num_classes=5)).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        both = model(x)
        model.head_dist.weight.copy_(model.head.weight)
        model.head_dist.bias.copy_(model.head.bias)
        plain = model(x)
        model.head.weight.zero_()
        model.head.bias.zero_()
        assert torch.allclose(model(x), plain / 2)
    assert relative_error(both, plain) > 1e-2


def test_image_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"\[N, 3, 64, 64\], got \[1, 3, 96, 96\]"):
        efficientformer_l1(resolution=64)(torch.zeros(1, 3, 96, 96))
