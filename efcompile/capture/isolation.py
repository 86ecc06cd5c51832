"""A copy of the user's module that tracing may do anything to."""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from efcompile.errors import CaptureError


def isolated_copy(model: nn.Module) -> nn.Module:
    """A deep copy of `model` in eval mode, on the CPU, independent of the model's earlier runs.

    Models that keep tensors made from their weights (timm's ``attention_bias_cache``, the
    official EfficientFormer's ``ab``) drop or renew them when the mode changes: the copy is
    switched to training and back, so that a cache never reaches the graph.

    Raises `CaptureError` if the module cannot be copied or its weights hold no data.
    """
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        if value.is_meta:
            raise CaptureError(f"{name} is on the meta device: load the model's weights first")
        if value.is_floating_point() and value.dtype != torch.float32:
            raise CaptureError(
                f"{name} is {str(value.dtype).removeprefix('torch.')}: only float32 models are "
                "compiled; call model.float() first"
            )
    # deepcopy refuses tensors that autograd computed; caches often hold such tensors.
    memo: dict[int, Any] = {
        id(tensor): tensor.detach().clone()
        for module in model.modules()
        for tensor in _tensors(vars(module))
        if not tensor.is_leaf
    }
    try:
        twin = copy.deepcopy(model, memo)
    except Exception as error:
        raise CaptureError(
            f"{type(model).__name__} cannot be copied ({type(error).__name__}: {error}); "
            "capture works on a copy so that your module stays as it is"
        ) from error
    # A model's own train() need not return the model.
    twin.train()
    twin.eval()
    return twin.cpu()


def _tensors(value: Any) -> Iterator[Tensor]:
    """Tensors held by plain attributes, also inside lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
