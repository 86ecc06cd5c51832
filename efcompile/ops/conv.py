"""Convolutions over channels-last images."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from efcompile.ops import activation
from efcompile.ops.registry import define


def _flops(args: dict[str, Any], out: tuple[int, ...]) -> int:
    return 2 * prod(out) * prod(int(d) for d in args["weight"].shape[1:])


@define(flops=_flops)
def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    act: str = "none",
    nchw_input: bool = False,
) -> Tensor:
    """``act(conv(x) + bias) + residual``, zero padding.

    x [N, H, W, I] (or [N, I, H, W] with `nchw_input`: the model's own input, read in place),
    weight [O, kh, kw, I / groups], bias [O], residual and result [N, H', W', O].
    """
    image = x if nchw_input else x.permute(0, 3, 1, 2)
    y = F.conv2d(
        image, weight.permute(0, 3, 1, 2), bias, list(stride), list(padding), list(dilation), groups
    )
    return activation.apply(y.permute(0, 2, 3, 1), act, residual)
