"""Pooling, the pool mixer, global pooling with its head, and resizing; all channels-last."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from efcompile.ops.activation import ACTIVATIONS
from efcompile.ops.registry import define


def _window_flops(args: dict[str, Any], out: tuple[int, ...]) -> int:
    return prod(out) * int(prod(args["kernel"]))


@define(flops=_window_flops)
def avg_pool2d(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
) -> Tensor:
    """Average pooling of x [N, H, W, C]; see `torch.nn.AvgPool2d` for the options."""
    y = F.avg_pool2d(
        x.permute(0, 3, 1, 2), list(kernel), list(stride), list(padding), ceil_mode,
        count_include_pad,
    )  # fmt: skip
    return y.permute(0, 2, 3, 1)


@define(flops=_window_flops)
def max_pool2d(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
) -> Tensor:
    """Maximum pooling of x [N, H, W, C]; NaN wins, as in eager."""
    y = F.max_pool2d(
        x.permute(0, 3, 1, 2), list(kernel), list(stride), list(padding), list(dilation), ceil_mode
    )
    return y.permute(0, 2, 3, 1)


def _mixer_flops(args: dict[str, Any], out: tuple[int, ...]) -> int:
    return prod(out) * (int(args["kernel"]) ** 2 + 3)


@define(flops=_mixer_flops)
def pool_mixer(x: Tensor, residual: Tensor | None, scale: Tensor | None, kernel: int) -> Tensor:
    """``residual + scale * (avg_pool(x) - x)``: the token mixer of PoolFormer and
    EfficientFormer V1.  Window `kernel` (odd), stride 1, same size, padding not counted.
    x and residual [N, H, W, C], scale [C].
    """
    image = x.permute(0, 3, 1, 2)
    mixed = F.avg_pool2d(image, kernel, 1, kernel // 2, count_include_pad=False) - image
    mixed = mixed.permute(0, 2, 3, 1)
    if scale is not None:
        mixed = mixed * scale
    return mixed if residual is None else residual + mixed


def _mean_flops(args: dict[str, Any], out: tuple[int, ...]) -> int:
    return int(prod(args["x"].shape))


@define(flops=_mean_flops)
def mean(x: Tensor, dims: Sequence[int], keepdim: bool) -> Tensor:
    """Mean over `dims`."""
    return x.mean(list(dims), keepdim)


def _head_flops(args: dict[str, Any], out: tuple[int, ...]) -> int:
    return 2 * prod(out) * int(args["weight"].shape[1]) + int(prod(args["x"].shape))


@define(flops=_head_flops)
def pool_linear(x: Tensor, weight: Tensor, bias: Tensor | None, norm: str, eps: float) -> Tensor:
    """Global average pooling and a classifier: x [N, ..., C], weight [M, C] -> [N, M].

    `norm` puts a layer norm without affine part (folded into the weight) over C ``before``
    the pooling (on every position), ``after`` it, or nowhere (``none``).
    """
    if norm == "before":
        x = F.layer_norm(x, x.shape[-1:], None, None, eps)
    x = x.flatten(1, -2).mean(1)
    if norm == "after":
        x = F.layer_norm(x, x.shape[-1:], None, None, eps)
    return F.linear(x, weight, bias)


def _resize_flops(args: dict[str, Any], out: tuple[int, ...]) -> int:
    return prod(out) * (7 if args["mode"] == "bilinear" else 0)


@define(flops=_resize_flops)
def resize(
    x: Tensor,
    size: Sequence[int],
    mode: str,
    align_corners: bool,
    scales: Sequence[float],
    act: str = "none",
) -> Tensor:
    """``act(upsample(x))``: x [N, H, W, C] -> [N, *size, C]; mode ``nearest`` or ``bilinear``.

    `scales` are the user's scale factors (height, width), which torch then uses instead of
    the ratio of sizes; empty when the user gave a size.
    """
    image = x.permute(0, 3, 1, 2)
    factors = (scales[0], scales[1]) if scales else (None, None)
    if mode == "nearest":
        y = torch.ops.aten.upsample_nearest2d.default(image, list(size), *factors)
    else:
        y = torch.ops.aten.upsample_bilinear2d.default(
            image.contiguous(), list(size), align_corners, *factors
        )
    return ACTIVATIONS[act](y.permute(0, 2, 3, 1))
