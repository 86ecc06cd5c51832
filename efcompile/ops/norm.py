"""Normalisations and softmax over channels-last operands."""

from math import prod
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from efcompile.ops import activation
from efcompile.ops.registry import define


def _several(args: dict[str, Any], out: tuple[int, ...]) -> int:
    return 6 * prod(out)


@define(flops=_several)
def layer_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Normalise over the last dimension: x [..., C], weight and bias [C]."""
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


@define(flops=_several)
def group_norm(
    x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """Normalise each image over all positions and C / groups channels: x [N, ..., C]."""
    return F.group_norm(x.movedim(-1, 1), groups, weight, bias, eps).movedim(1, -1)


@define(flops=_several)
def softmax(x: Tensor) -> Tensor:
    """Softmax over the last dimension."""
    return F.softmax(x, -1)


def _norm_linear_flops(args: dict[str, Any], out: tuple[int, ...]) -> int:
    return 2 * prod(out) * int(args["weight"].shape[1]) + 4 * int(prod(args["x"].shape))


@define(flops=_norm_linear_flops)
def norm_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, eps: float, act: str = "none"
) -> Tensor:
    """``act(normalise(x) @ weight.T + bias)``: a layer norm whose affine part is folded into
    the linear that follows.  x [..., K], weight [N, K], bias [N] -> [..., N]."""
    normal = F.layer_norm(x, x.shape[-1:], None, None, eps)
    return activation.apply(F.linear(normal, weight, bias), act)
