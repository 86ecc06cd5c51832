"""Fused feed-forward blocks: the pointwise MLP, the FFN with a depthwise middle, and the
depthwise-separable convolution."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from efcompile.ops import activation
from efcompile.ops.activation import ACTIVATIONS
from efcompile.ops.registry import define


def _mlp_flops(args: dict[str, Any], out: tuple[int, ...]) -> int:
    hidden, inputs = args["weight1"].shape
    return int(2 * prod(out[:-1]) * hidden * (inputs + out[-1]))


@define(flops=_mlp_flops)
def mlp(
    x: Tensor,
    weight1: Tensor,
    bias1: Tensor | None,
    weight2: Tensor,
    bias2: Tensor | None,
    residual: Tensor | None,
    act: str,
) -> Tensor:
    """``act(x @ weight1.T + bias1) @ weight2.T + bias2 + residual``, row by row.

    x [..., K], weight1 [H, K], weight2 [N, H], residual and result [..., N].
    """
    hidden = ACTIVATIONS[act](F.linear(x, weight1, bias1))
    return activation.apply(F.linear(hidden, weight2, bias2), "none", residual)


def _ffn_flops(args: dict[str, Any], out: tuple[int, ...]) -> int:
    hidden, inputs = args["weight1"].shape
    rows_in, rows_out = prod(args["x"].shape[:-1]), prod(out[:-1])
    taps = prod(args["depthwise"].shape[1:])
    return int(2 * hidden * (rows_in * inputs + rows_out * (taps + out[-1])))


@define(flops=_ffn_flops)
def ffn(
    x: Tensor,
    weight1: Tensor,
    bias1: Tensor | None,
    depthwise: Tensor,
    depthwise_bias: Tensor | None,
    weight2: Tensor,
    bias2: Tensor | None,
    residual: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    act1: str,
    act2: str,
) -> Tensor:
    """1x1 conv, act1, depthwise k x k, act2, 1x1 conv, residual (an inverted residual block).

    x [N, H, W, K], weight1 [C, K], depthwise [C, k, k, 1], weight2 [O, C], residual and
    result [N, H', W', O].
    """
    hidden = ACTIVATIONS[act1](F.linear(x, weight1, bias1)).permute(0, 3, 1, 2)
    taps = depthwise.permute(0, 3, 1, 2)
    middle = F.conv2d(
        hidden, taps, depthwise_bias, list(stride), list(padding), groups=taps.shape[0]
    )
    middle = ACTIVATIONS[act2](middle).permute(0, 2, 3, 1)
    return activation.apply(F.linear(middle, weight2, bias2), "none", residual)


def _separable_flops(args: dict[str, Any], out: tuple[int, ...]) -> int:
    taps = prod(args["depthwise"].shape)
    return int(2 * prod(out[:-1]) * (taps + prod(args["weight"].shape)))


@define(flops=_separable_flops)
def separable(
    x: Tensor,
    depthwise: Tensor,
    depthwise_bias: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    act1: str,
    act2: str,
) -> Tensor:
    """Depthwise kh x kw, act1, 1x1 conv, act2, residual (a depthwise-separable convolution).

    x [N, H, W, C], depthwise [C, kh, kw, 1], weight [O, C], residual and result [N, H', W', O].
    """
    middle = F.conv2d(
        x.permute(0, 3, 1, 2), depthwise.permute(0, 3, 1, 2), depthwise_bias, list(stride),
        list(padding), list(dilation), groups=x.shape[3],
    )  # fmt: skip
    middle = ACTIVATIONS[act1](middle).permute(0, 2, 3, 1)
    return activation.apply(F.linear(middle, weight, bias), act2, residual)
