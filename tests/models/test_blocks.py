import pytest
import torch

from efcompile.errors import InputError
from efcompile.models.blocks import LayerScale, check_resolution, classifier
from efcompile.models.efficientformer import efficientformer_l1


@pytest.mark.parametrize(("spatial", "shape"), [(False, (2, 5, 3)), (True, (2, 3, 4, 5))])
def test_layer_scale_is_per_channel(spatial: bool, shape: tuple[int, ...]) -> None:
    scale = LayerScale(3, spatial=spatial)
    assert torch.equal(scale.gamma, torch.full((3,), 1e-5))
    scale.gamma.data = torch.tensor([1.0, 2.0, 3.0])
    channels = 1 if spatial else -1
    scaled = scale(torch.ones(shape)).movedim(channels, -1)
    assert torch.equal(scaled, torch.tensor([1.0, 2.0, 3.0]).expand_as(scaled))


@pytest.mark.parametrize(("resolution", "nearest"), [(0, 32), (-32, 32), (31, 32), (250, 256)])
def test_resolution_must_be_whole(resolution: int, nearest: int) -> None:
    with pytest.raises(InputError, match=f"resolution {resolution} .* works is {nearest}$"):
        check_resolution(resolution)


def test_resolutions_that_work() -> None:
    for resolution in (32, 160, 224, 256):
        check_resolution(resolution)


def test_classifier_starts_small() -> None:
    head = classifier(64, 100)
    assert 0.015 < float(head.weight.detach().std()) < 0.025
    assert not head.bias.any()


def test_a_classifier_needs_classes() -> None:
    with pytest.raises(InputError, match="num_classes is 0"):
        efficientformer_l1(num_classes=0)
