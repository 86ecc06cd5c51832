import random
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from efcompile.errors import CheckpointError
from efcompile.models.checkpoint import load_checkpoint
from efcompile.models.randomize import randomize
from efcompile.models.zoo import create
from tests.models.official import official_state

SMALLEST = ("efficientformer_l1", "efficientformerv2_s0")


def _shuffled(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights in an order that tells nothing."""
    items = list(state.items())
    random.Random(0).shuffle(items)
    return {key: tensor.clone() for key, tensor in items}


def _assert_same_weights(model: nn.Module, expected: nn.Module) -> None:
    actual = model.state_dict()
    for key, tensor in expected.state_dict().items():
        assert torch.equal(actual[key], tensor), key


@pytest.fixture
def write(tmp_path: Path) -> Callable[[object], Path]:
    def write(content: object) -> Path:
        path = tmp_path / "weights.pth"
        torch.save(content, path)
        return path

    return write


@pytest.mark.parametrize("name", SMALLEST)
def test_official(name: str, write: Callable[[object], Path]) -> None:
    source = randomize(create(name))
    model = create(name)
    load_checkpoint(model, write({"model": _shuffled(official_state(source))}))
    _assert_same_weights(model, source)


@pytest.mark.parametrize("name", SMALLEST)
def test_official_names_in_safetensors(name: str, tmp_path: Path) -> None:
    source = randomize(create(name))
    save_file(_shuffled(official_state(source)), tmp_path / "weights.safetensors")
    model = create(name)
    load_checkpoint(model, tmp_path / "weights.safetensors")
    _assert_same_weights(model, source)


@pytest.mark.parametrize("name", SMALLEST)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_timm(name: str, suffix: str, tmp_path: Path, timm: ModuleType) -> None:
    theirs = randomize(timm.create_model(name))
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save(_shuffled(theirs.state_dict()), path)
    else:
        save_file(_shuffled(theirs.state_dict()), path)
    model = create(name)
    load_checkpoint(model, str(path))
    _assert_same_weights(model, theirs)


def test_official_into_timm(write: Callable[[object], Path], timm: ModuleType) -> None:
    """timm's modules have our names; what they cached from their old weights is dropped."""
    source = randomize(create("efficientformerv2_s0")).eval()
    theirs = randomize(timm.create_model("efficientformerv2_s0"), seed=1).eval()
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        theirs(images)
        load_checkpoint(theirs, write(official_state(source)))
        assert torch.allclose(theirs(images), source(images), rtol=1e-4, atol=1e-4)
    assert not theirs.training


def test_any_module(write: Callable[[object], Path]) -> None:
    source, model = (nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)) for _ in range(2))
    randomize(source)
    half = {key: tensor.half() for key, tensor in source.state_dict().items()}
    del half["1.num_batches_tracked"]  # absent from files older than it is
    load_checkpoint(model, write(half))
    for key, tensor in half.items():
        loaded = model.state_dict()[key]
        assert loaded.dtype == torch.float32
        assert torch.equal(loaded, tensor.float())


def _message(model: nn.Module, path: Path) -> str:
    """What loading says, having changed nothing."""
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(model, path)
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
    return str(caught.value)


def test_differences_are_listed_and_counted(write: Callable[[object], Path]) -> None:
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4)))
    state = model.state_dict()
    renamed = {key.replace("0.", "first.").replace("1.", "second."): t for key, t in state.items()}
    renamed["3.bias"] = torch.zeros(5)
    path = write(renamed)
    assert _message(model, path) == (
        f"{path} (checkpoint) does not fit Sequential:\n"
        "  4 missing: 0.weight; 0.bias; 1.weight; 1.bias\n"
        "  4 unexpected: first.weight; first.bias; second.weight; second.bias\n"
        "  1 of another shape: 3.bias [5] instead of [2]\n"
        "It looks like another architecture, or like a part of this one."
    )


def test_long_lists_are_cut(write: Callable[[object], Path]) -> None:
    model = create("efficientformer_l1")
    state = {key: t for key, t in model.state_dict().items() if not key.startswith("stages.3.")}
    said = _message(model, write(state))
    assert "64 missing: stages.3.downsample.conv.weight;" in said
    assert said.count("stages.3.") == 4 and "; ...\n" in said


@pytest.mark.parametrize("official", [False, True])
def test_another_architecture_is_named(official: bool, write: Callable[[object], Path]) -> None:
    other = create("efficientformerv2_s1")
    path = write(official_state(other) if official else other.state_dict())
    said = _message(create("efficientformerv2_s0"), path)
    assert "It holds the weights of efficientformerv2_s1: create that model instead." in said
    assert ("(the authors' EfficientFormer V2 checkpoint)" in said) == official


def test_left_over_weights_are_not_another_architecture(write: Callable[[object], Path]) -> None:
    model = create("efficientformer_l1")
    said = _message(model, write(model.state_dict() | {"extra": torch.ones(1)}))
    assert "1 unexpected: extra\n" in said
    assert "efficientformer_l1" not in said


def test_another_resolution(write: Callable[[object], Path]) -> None:
    said = _message(
        create("efficientformerv2_s0", resolution=160),
        write(create("efficientformerv2_s0").state_dict()),
    )
    assert "attention_biases [8, 49] instead of [8, 25]" in said
    assert said.endswith("Attention tables depend on the image size: create the model for theirs.")


def test_another_number_of_classes(write: Callable[[object], Path]) -> None:
    said = _message(
        create("efficientformer_l1", num_classes=10),
        write(create("efficientformer_l1").state_dict()),
    )
    assert "4 of another shape: head.weight [1000, 448] instead of [10, 448];" in said
    assert said.endswith("depend on the number of classes: create the model with theirs.")


def test_an_index_that_contradicts_the_model(write: Callable[[object], Path]) -> None:
    """Its table would be read at the wrong places."""
    model = create("efficientformerv2_s0")
    state = official_state(model)
    key = next(key for key in state if key.endswith("attention_bias_idxs"))
    state[key] = state[key].flip(0)
    said = _message(model, write(state))
    assert "1 constants of another value: stages." in said
