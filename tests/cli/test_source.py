"""Which weights, which input."""

from pathlib import Path

import pytest
import torch
from torch import nn

from efcompile.cli.source import RANDOM, prepare
from efcompile.errors import InputError


class Silent(nn.Module):
    """A module that does not say what input it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)


def test_a_zoo_model_gets_random_weights_that_matter() -> None:
    source = prepare("efficientformerv2_s0", resolution=64, batch=2)
    assert source.weights == RANDOM
    assert source.name == "efficientformerv2_s0"
    assert [x.shape for x in source.inputs] == [(2, 3, 64, 64)]
    norm = next(m for m in source.module.modules() if isinstance(m, nn.BatchNorm2d))
    assert norm.running_mean is not None and bool(norm.running_mean.any())
    assert not any(module.training for module in source.module.modules())


def test_the_same_words_give_the_same_source() -> None:
    one, two = (prepare("efficientformerv2_s0", resolution=64) for _ in range(2))
    assert torch.equal(one.inputs[0], two.inputs[0])
    state = two.module.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in one.module.state_dict().items())


def test_a_factory_keeps_its_weights() -> None:
    source = prepare("tests.small:small")
    again = prepare("tests.small:small")
    assert source.weights == "weights as tests.small:small made them"
    assert source.name == "small"
    assert torch.equal(
        source.module.state_dict()["head.bias"], again.module.state_dict()["head.bias"]
    )


def test_a_checkpoint_replaces_them(tmp_path: Path) -> None:
    weights = {k: v + 1 for k, v in prepare("tests.small:small").module.state_dict().items()}
    torch.save(weights, tmp_path / "w.pth")
    source = prepare("tests.small:small", tmp_path / "w.pth")
    assert torch.equal(source.module.state_dict()["head.bias"], weights["head.bias"])
    assert source.weights == f"weights of {tmp_path / 'w.pth'}"


def test_a_silent_module_needs_a_resolution() -> None:
    with pytest.raises(InputError, match=r"does not say what input it takes: give --resolution"):
        prepare("tests.cli.test_source:Silent")
    (x,) = prepare("tests.cli.test_source:Silent", resolution=9).inputs
    assert x.shape == (1, 3, 9, 9)
