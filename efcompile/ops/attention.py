"""Attention with relative bias, talking heads and a convolution of the values, operands read
through strided views."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from efcompile.ops import activation
from efcompile.ops.registry import define


def _flops(args: dict[str, Any], out: tuple[int, ...]) -> int:
    batch, heads, queries, keys, key_dim, value_dim = args["sizes"]
    pairs = batch * queries * keys * heads
    mixes = (args["mix1"] is not None) + (args["mix2"] is not None)
    taps = 0 if args["local"] is None else prod(int(d) for d in args["local"].shape[1:])
    return int(pairs * (2 * (key_dim + value_dim) + 5 + 2 * heads * mixes) + 2 * prod(out) * taps)


def head_view(x: Tensor, shape: Sequence[int], view: Sequence[int]) -> Tensor:
    """x's storage seen as `shape` (batch, heads, tokens, dim); `view` is (offset, batch stride,
    head stride, token stride, dim stride) in elements of the contiguous operand."""
    return x.contiguous().as_strided(tuple(shape), tuple(view[1:]), view[0])


@define(flops=_flops)
def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    mix1: Tensor | None,
    mix2: Tensor | None,
    mix2_bias: Tensor | None,
    sizes: Sequence[int],
    q_view: Sequence[int],
    k_view: Sequence[int],
    v_view: Sequence[int],
    scale: float,
    local: Tensor | None = None,
    local_bias: Tensor | None = None,
    local_grid: Sequence[int] | None = None,
    act: str = "none",
) -> Tensor:
    """``act(weights v + local(v))``, the weights ``softmax(mix1(scale q k^T) + bias)``, mixed
    over heads by mix2.

    `sizes` is (batch, heads, queries, keys, key_dim, value_dim); the views (see `head_view`)
    say where in the contiguous tensors q, k and v (often one merged projection [N, T, C])
    each head's rows lie, so no permute is needed.  bias broadcasts to [batch, heads,
    queries, keys] (4 dimensions, each full or 1); mix1 and mix2 are [heads, heads], mix2_bias
    [heads] (a bias of mix1 belongs into `bias`).  Result [batch, queries, heads * value_dim].

    `local` [heads * value_dim, kh, kw, 1] and its bias convolve the values depthwise, where
    `local_grid` is (height, width, stride down and across, padding down and across) of the image
    that the keys' values are, row by row; without `local` nothing is added.
    """
    batch, heads, queries, keys, key_dim, value_dim = sizes
    query = head_view(q, (batch, heads, queries, key_dim), q_view)
    key = head_view(k, (batch, heads, keys, key_dim), k_view)
    value = head_view(v, (batch, heads, keys, value_dim), v_view)
    logits = scale * (query @ key.transpose(-1, -2))
    if mix1 is not None:
        logits = torch.einsum("gh,bhqk->bgqk", mix1, logits)
    if bias is not None:
        logits = logits + bias
    weights = F.softmax(logits, -1)
    if mix2 is not None:
        weights = torch.einsum("gh,bhqk->bgqk", mix2, weights)
    if mix2_bias is not None:
        weights = weights + mix2_bias[:, None, None]
    y = (weights @ value).transpose(1, 2).reshape(batch, queries, heads * value_dim)
    if local is not None:
        assert local_grid is not None
        height, width, *steps = local_grid
        image = value.transpose(2, 3).reshape(batch, heads * value_dim, height, width)
        taps = local.permute(0, 3, 1, 2)
        near = F.conv2d(image, taps, local_bias, steps[:2], steps[2:], groups=len(taps))
        y = y + near.flatten(2).transpose(1, 2)
    return activation.apply(y, act)
