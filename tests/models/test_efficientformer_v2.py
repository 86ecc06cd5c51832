from types import ModuleType

import pytest
import torch

from efcompile.errors import InputError
from efcompile.models.efficientformer_v2 import (
    CONFIGS,
    AttentionBlock,
    EfficientFormerV2,
    EfficientFormerV2Config,
    efficientformerv2_s0,
)
from efcompile.models.randomize import randomize
from efcompile.models.zoo import create
from tests.models.parity import assert_twins

PARAMETERS = {
    "efficientformerv2_s0": 3_600_256,
    "efficientformerv2_s1": 6_185_560,
    "efficientformerv2_s2": 12_710_112,
    "efficientformerv2_l": 26_322_288,
}


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_parameter_count(name: str, count: int) -> None:
    assert sum(p.numel() for p in create(name).parameters()) == count


@pytest.mark.parametrize("name", PARAMETERS)
def test_parity_with_timm(name: str, timm: ModuleType) -> None:
    assert_twins(create(name), timm.create_model(name), 224)


@pytest.mark.parametrize("resolution", [160, 256])
def test_parity_with_timm_at_another_resolution(resolution: int, timm: ModuleType) -> None:
    theirs = timm.create_model("efficientformerv2_s0", img_size=resolution)
    # timm writes 224 here whatever the model was built for.
    theirs.pretrained_cfg = {"input_size": (3, resolution, resolution)}
    ours = create("efficientformerv2_s0", resolution=resolution)
    assert_twins(ours, theirs, resolution, batch=2)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=lambda config: config.name)
def test_attention_stands_in_the_last_blocks_of_the_last_two_stages(
    config: EfficientFormerV2Config,
) -> None:
    with torch.device("meta"):
        model = EfficientFormerV2(config)
    for index, stage in enumerate(model.stages):
        attends = [
            isinstance(block, AttentionBlock) for block in stage.get_submodule("blocks").children()
        ]
        last = config.attention_blocks if index >= 2 else 0
        assert attends == [False] * (len(attends) - last) + [True] * last


def test_smallest_resolution() -> None:
    model = randomize(efficientformerv2_s0(resolution=32, num_classes=7)).eval()
    with torch.no_grad():
        logits = model(torch.randn(3, 3, 32, 32))
    assert logits.shape == (3, 7)
    assert logits.isfinite().all()


def test_image_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"\[N, 3, 64, 64\], got \[1, 1, 64, 64\]"):
        efficientformerv2_s0(resolution=64)(torch.zeros(1, 1, 64, 64))
