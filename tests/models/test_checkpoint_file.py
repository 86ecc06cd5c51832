import argparse
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from efcompile.errors import CheckpointError
from efcompile.models.checkpoint_file import read_state_dict

WEIGHTS = {"conv.weight": torch.arange(6.0).reshape(2, 3), "conv.bias": torch.ones(2)}


def _same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"model": WEIGHTS},
        {"state_dict": WEIGHTS, "epoch": 3, "optimizer": {"lr": 0.1}},
        {"model": {f"module.{key}": tensor for key, tensor in WEIGHTS.items()}},
    ],
    ids=["bare", "model", "state_dict", "data-parallel"],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_pickled(content: object, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert _same(read_state_dict(path), WEIGHTS)


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(WEIGHTS, path)
    assert _same(read_state_dict(path), WEIGHTS)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_missing_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"no checkpoint at .*{name}"):
        read_state_dict(tmp_path / name)


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("name", ["zipped.pth", "plain.pth", "weights.safetensors"])
def test_truncated(name: str, kept: float, tmp_path: Path) -> None:
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file(WEIGHTS, path)
    else:
        torch.save(WEIGHTS, path, _use_new_zipfile_serialization=name == "zipped.pth")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(CheckpointError, match=r"is truncated or not a .*; get it again$"):
        read_state_dict(path)


class Marker:
    """Leaves a file behind when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_code_is_not_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "weights.pth", tmp_path / "ran"
    torch.save({"model": WEIGHTS, "extra": Marker(trace)}, path)
    with pytest.raises(CheckpointError, match="objects are not unpickled"):
        read_state_dict(path)
    assert not trace.exists()


def test_objects_are_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"model": WEIGHTS, "args": argparse.Namespace(lr=1)}, path)
    with pytest.raises(CheckpointError, match=r"holds argparse\.Namespace besides tensors"):
        read_state_dict(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.ones(3), "holds no state dict but a Tensor"),
        ([WEIGHTS], "holds no state dict but a list"),
        ({}, "holds no state dict but a dict"),
        ({"ema": WEIGHTS, "step": 1}, "not a state dict: ema, step are no tensors"),
    ],
)
def test_no_weights(content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=message):
        read_state_dict(path)
