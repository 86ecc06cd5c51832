"""Ops that only move data.  A reshape of a contiguous tensor is free and stays
``aten.reshape``; everything here is a copy that the passes try to remove."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from efcompile.ops.registry import define


def _none(args: dict[str, Any], out: tuple[int, ...]) -> int:
    return 0


@define(flops=_none)
def permute(x: Tensor, dims: Sequence[int]) -> Tensor:
    """``x.permute(dims)``, copied to contiguous memory."""
    return x.permute(list(dims))


@define(flops=_none)
def slice(x: Tensor, dim: int, start: int, end: int, step: int) -> Tensor:
    """``x[..., start:end:step, ...]`` on `dim`; 0 <= start <= end <= size, step > 0."""
    part: Tensor = torch.ops.aten.slice.Tensor(x, dim, start, end, step)
    return part


@define(flops=_none)
def expand(x: Tensor, shape: Sequence[int]) -> Tensor:
    """x broadcast to `shape`."""
    return x.expand(list(shape))


@define(flops=_none)
def concat(tensors: Sequence[Tensor], dim: int) -> Tensor:
    """Concatenation on `dim`."""
    return torch.cat(list(tensors), dim)


@define(flops=_none)
def gather(x: Tensor, index: Tensor, dim: int) -> Tensor:
    """x with `dim` replaced by the dimensions of the int64 `index`: ``x[:, ..., index]``."""
    taken = x.index_select(dim, index.flatten())
    return taken.reshape(*x.shape[:dim], *index.shape, *x.shape[dim + 1 :])


@define(flops=_none)
def pad(x: Tensor, pads: Sequence[int], value: float) -> Tensor:
    """Constant padding, `pads` as in `torch.nn.functional.pad` (last dimension first)."""
    return F.pad(x, list(pads), value=value)
