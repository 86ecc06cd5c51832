"""From the words of a command line to a module with weights and an input."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from efcompile.errors import InputError
from efcompile.models import zoo
from efcompile.models.checkpoint import load_checkpoint
from efcompile.models.input_size import default_input_size
from efcompile.models.randomize import randomize

RANDOM = "random weights with non-trivial statistics (--checkpoint FILE loads trained ones)"


@dataclass(frozen=True)
class Source:
    """A module in eval mode, one random input (seeded) of the size asked for, what to call
    the model, and where its weights are from."""

    module: nn.Module
    inputs: tuple[Tensor, ...]
    name: str
    weights: str


def prepare(
    model: str, checkpoint: Path | None = None, batch: int = 1, resolution: int | None = None
) -> Source:
    """Build `model` and give it weights: the checkpoint's; else random ones to a model of the
    zoo or of timm, and to one that the user's factory made those that it came with.

    `resolution` is what a model of the zoo is built for; others are given images of that size.

    Raises what `resolve_model` and `load_checkpoint` do, and `InputError` if nothing tells the
    size of the model's input.
    """
    module = _build(model, resolution).eval()
    size = _input_size(module, model, resolution)
    generator = torch.Generator().manual_seed(0)
    inputs = (torch.randn(batch, *size, generator=generator),)
    if checkpoint is not None:
        load_checkpoint(module, checkpoint)
        weights = f"weights of {checkpoint}"
    elif _is_factory(model):
        weights = f"weights as {model} made them"
    else:
        # A model that states its size is calibrated on several images of it.
        randomize(module, example_inputs=None if size == default_input_size(module) else inputs)
        weights = RANDOM
    return Source(module, inputs, zoo.title_of(model), weights)


def _is_factory(model: str) -> bool:
    return ":" in model and not model.startswith(zoo.TIMM_PREFIX)


def _build(model: str, resolution: int | None) -> nn.Module:
    if ":" in model or resolution is None:
        return zoo.resolve_model(model)
    return zoo.create(model, resolution=resolution)


def _input_size(module: nn.Module, model: str, resolution: int | None) -> tuple[int, ...]:
    size = default_input_size(module)
    if resolution is not None:
        return (3 if size is None else size[0], resolution, resolution)
    if size is None:
        raise InputError(
            f"{model} does not say what input it takes: give --resolution for images of three "
            "channels, or set default_input_size = (channels, height, width) on the module"
        )
    return size
