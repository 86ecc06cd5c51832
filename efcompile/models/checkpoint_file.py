"""Reading tensors out of checkpoint files without ever running what is in them."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from efcompile.errors import CheckpointError

# Where training scripts put the weights, most specific first.
CONTAINERS = ("model", "state_dict")
# What a model wrapped for data-parallel training puts in front of every name.
PARALLEL_PREFIX = "module."


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Names and tensors (on the CPU) of a ``.safetensors`` file or a file of ``torch.save``.

    The weights may lie in the file directly, or under ``model`` or ``state_dict``. Only tensors
    and plain containers are unpickled, never other objects.

    Raises `CheckpointError` if the file is missing, damaged, or holds no weights.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}")
    if path.suffix == ".safetensors":
        state = _load_safetensors(path)
    else:
        state = _weights_in(_load_pickle(path), path)
    if all(key.startswith(PARALLEL_PREFIX) for key in state):
        state = {key.removeprefix(PARALLEL_PREFIX): tensor for key, tensor in state.items()}
    return state


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is truncated or not a safetensors file ({error}); get it again"
        ) from error


def _load_pickle(path: Path) -> object:
    try:
        content: object = torch.load(path, map_location="cpu", weights_only=True)
    # Damaged bytes make the unpickler raise whatever it trips over.
    except Exception as error:
        said = str(error)
        if stranger := re.search(r"GLOBAL (\S+)", said):
            raise CheckpointError(
                f"{path} holds {stranger[1]} besides tensors, and objects are not unpickled "
                "because that can run code; save the model's state dict alone"
            ) from error
        reason = said.partition("\n")[0] or type(error).__name__
        raise CheckpointError(
            f"{path} is truncated or not a file of torch.save ({reason}); get it again"
        ) from error
    return content


def _weights_in(content: object, path: Path) -> dict[str, Tensor]:
    state = content
    if isinstance(content, Mapping):
        for container in CONTAINERS:
            if isinstance(content.get(container), Mapping):
                state = content[container]
                break
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f"{path} holds no state dict but a {type(content).__name__}")
    strangers = [str(key) for key, value in state.items() if not isinstance(value, Tensor)]
    if strangers:
        raise CheckpointError(
            f"{path} is not a state dict: {', '.join(strangers[:4])} are no tensors "
            f"(weights are looked for at the top, or under {' or '.join(CONTAINERS)})"
        )
    return {str(key): tensor for key, tensor in state.items()}
