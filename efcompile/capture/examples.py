"""Example inputs: the caller's, or what the model says about itself; checked either way."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from efcompile.errors import CaptureError, InputError
from efcompile.models.input_size import default_input_size


def resolve_inputs(model: nn.Module, given: Tensor | Sequence[Tensor] | None) -> tuple[Tensor, ...]:
    """The inputs to capture `model` with, detached and contiguous, on the CPU.

    `given` is one tensor or one per argument of ``model.forward``; its batch and resolution
    are the ones compiled for. With None, one random image (seeded) of the size that the model
    states (``default_input_size``, or timm's ``pretrained_cfg``) is used.

    Raises `CaptureError` if nothing is given and the model states no size, `InputError` if an
    input is no tensor, is empty, or is not float32.
    """
    if given is None:
        size = default_input_size(model)
        if size is None:
            raise CaptureError(
                f"{type(model).__name__} does not say what input it takes (no default_input_size, "
                "no pretrained_cfg['input_size']): pass example_inputs"
            )
        generator = torch.Generator().manual_seed(0)
        return (torch.randn(1, *size, generator=generator),)
    inputs = (given,) if isinstance(given, Tensor) else tuple(given)
    if not inputs:
        raise InputError("example_inputs is empty: pass one tensor for each argument of forward")
    return tuple(_checked(value, position) for position, value in enumerate(inputs))


def _checked(value: object, position: int) -> Tensor:
    if not isinstance(value, Tensor):
        raise InputError(
            f"example input {position} is a {type(value).__name__}: only tensors can be inputs"
        )
    if value.dtype != torch.float32:
        raise InputError(
            f"example input {position} has dtype {str(value.dtype).removeprefix('torch.')}: "
            "inputs are float32 images; convert (and normalise integers) first"
        )
    if value.numel() == 0:
        raise InputError(f"example input {position} has no elements: shape {tuple(value.shape)}")
    return value.detach().to("cpu", memory_format=torch.contiguous_format).contiguous()
