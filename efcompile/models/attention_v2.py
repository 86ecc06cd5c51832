"""The two attentions of EfficientFormer V2, on feature maps ``[N, C, H, W]``.

Both add depthwise-convolved values to what attention mixed, and both gather their bias table
on every call: no cache that could outlive the weights it was made from.
"""

from typing import cast

import torch
from torch import Tensor, nn

from efcompile.models.conv_norm import ConvNorm
from efcompile.models.relative_position import relative_position_index

HEADS = 8
VALUES_PER_KEY = 4  # a head's value channels over its key channels


def _split_heads(x: Tensor) -> Tensor:
    """``[N, HEADS * D, H, W]`` to ``[N, HEADS, H * W, D]``."""
    batch, channels, height, width = x.shape
    return x.reshape(batch, HEADS, channels // HEADS, height * width).transpose(2, 3)


def _join_heads(x: Tensor, side: int) -> Tensor:
    """``[N, HEADS, side * side, D]`` to ``[N, HEADS * D, side, side]``."""
    batch, _, _, depth = x.shape
    return x.transpose(2, 3).reshape(batch, HEADS * depth, side, side)


class Attention(nn.Module):
    """Attention with talking heads: 1x1 convolutions over the heads around the softmax.

    Input and output: ``[N, C, side, side]``. With ``stride`` 2 the map is halved before and
    stretched back (bilinear) after, so ``side`` must be even.
    """

    attention_bias_idxs: Tensor

    def __init__(self, channels: int, side: int, stride: int, key_dim: int = 32) -> None:
        super().__init__()
        self.side = side // stride
        self.scale = key_dim**-0.5
        keys, values = HEADS * key_dim, HEADS * key_dim * VALUES_PER_KEY
        self.stride_conv: ConvNorm | None = None
        self.upsample: nn.Upsample | None = None
        if stride > 1:
            self.stride_conv = ConvNorm(channels, channels, 3, stride=stride, groups=channels)
            self.upsample = nn.Upsample(scale_factor=stride, mode="bilinear")
        self.q = ConvNorm(channels, keys, 1)
        self.k = ConvNorm(channels, keys, 1)
        self.v = ConvNorm(channels, values, 1)
        self.v_local = ConvNorm(values, values, 3, groups=values)
        self.talking_head1 = nn.Conv2d(HEADS, HEADS, 1)
        self.talking_head2 = nn.Conv2d(HEADS, HEADS, 1)
        self.act = nn.GELU()
        self.proj = ConvNorm(values, channels, 1)
        self.attention_biases = nn.Parameter(torch.zeros(HEADS, self.side**2))
        self.register_buffer(
            "attention_bias_idxs", relative_position_index(self.side), persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.stride_conv is not None:
            x = self.stride_conv(x)
        v = self.v(x)
        q, k = _split_heads(self.q(x)), _split_heads(self.k(x))
        logits = (q @ k.transpose(2, 3)) * self.scale
        logits = logits + self.attention_biases[:, self.attention_bias_idxs]
        weights = self.talking_head2(self.talking_head1(logits).softmax(dim=-1))
        mixed = _join_heads(weights @ _split_heads(v), self.side) + self.v_local(v)
        if self.upsample is not None:
            mixed = self.upsample(mixed)
        return cast(Tensor, self.proj(self.act(mixed)))


class LocalGlobalQuery(nn.Module):
    """Queries for every second point: a strided depthwise convolution plus the point itself.

    ``[N, in, H, W]`` to ``[N, out, H/2, W/2]``.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(1, stride=2)
        self.local = nn.Conv2d(in_channels, in_channels, 3, stride=2, padding=1, groups=in_channels)
        self.proj = ConvNorm(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.proj(self.local(x) + self.pool(x)))


class AttentionDownsample(nn.Module):
    """Attention from every second point to all points.

    ``[N, in, side, side]`` to ``[N, out, side/2, side/2]``; ``side`` is even.
    """

    attention_bias_idxs: Tensor

    def __init__(self, in_channels: int, out_channels: int, side: int, key_dim: int = 16) -> None:
        super().__init__()
        self.side = side // 2
        self.scale = key_dim**-0.5
        keys, values = HEADS * key_dim, HEADS * key_dim * VALUES_PER_KEY
        self.q = LocalGlobalQuery(in_channels, keys)
        self.k = ConvNorm(in_channels, keys, 1)
        self.v = ConvNorm(in_channels, values, 1)
        self.v_local = ConvNorm(values, values, 3, stride=2, groups=values)
        self.act = nn.GELU()
        self.proj = ConvNorm(values, out_channels, 1)
        self.attention_biases = nn.Parameter(torch.zeros(HEADS, side**2))
        self.register_buffer(
            "attention_bias_idxs", relative_position_index(side, query_stride=2), persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        v = self.v(x)
        q, k = _split_heads(self.q(x)), _split_heads(self.k(x))
        logits = (q @ k.transpose(2, 3)) * self.scale
        logits = logits + self.attention_biases[:, self.attention_bias_idxs]
        mixed = _join_heads(logits.softmax(dim=-1) @ _split_heads(v), self.side)
        return cast(Tensor, self.proj(self.act(mixed + self.v_local(v))))
