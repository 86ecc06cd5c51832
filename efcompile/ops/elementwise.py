"""Elementwise ops with broadcasting, and the per-channel affine that batch norm becomes."""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor

from efcompile.ops.activation import ACTIVATIONS
from efcompile.ops.registry import define

BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
}
"""Name -> reference of each two-operand op."""


def _once(args: dict[str, Any], out: tuple[int, ...]) -> int:
    return prod(out)


def _twice(args: dict[str, Any], out: tuple[int, ...]) -> int:
    return 2 * prod(out)


@define(flops=_once)
def binary(a: Tensor, b: Tensor, kind: str, act: str = "none") -> Tensor:
    """``act(a <kind> b)`` with numpy broadcasting; `kind` is a key of `BINARY`."""
    return ACTIVATIONS[act](BINARY[kind](a, b))


@define(flops=_twice)
def scalar(x: Tensor, multiply: float, add: float) -> Tensor:
    """``x * multiply + add``."""
    return x * multiply + add


@define(flops=_twice)
def affine(x: Tensor, scale: Tensor, shift: Tensor, act: str = "none") -> Tensor:
    """``act(x * scale + shift)``: x [..., C], scale and shift [C] (a batch norm at inference)."""
    return ACTIVATIONS[act](x * scale + shift)
