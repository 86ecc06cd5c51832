"""Activations: the names every epilogue knows, and the plain op."""

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from efcompile.ops.registry import define

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": F.relu,
    "relu6": F.relu6,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "sigmoid": Tensor.sigmoid,
    "tanh": Tensor.tanh,
    "exp": Tensor.exp,
}
"""Name -> reference. `gelu` is the exact (erf) form. NaN and infinity go through as here."""


def apply(x: Tensor, act: str, residual: Tensor | None = None) -> Tensor:
    """The epilogue every fused op shares: ``act(x) + residual``."""
    y = ACTIVATIONS[act](x)
    return y if residual is None else y + residual


def _flops(args: dict[str, Any], out: tuple[int, ...]) -> int:
    n = 1
    for d in out:
        n *= d
    return n


@define(flops=_flops)
def activation(x: Tensor, act: str) -> Tensor:
    """``act(x)`` elementwise, any shape."""
    return ACTIVATIONS[act](x)
