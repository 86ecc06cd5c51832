"""Attention against scaled_dot_product_attention and against talking heads written out."""

import torch
import torch.nn.functional as F
from torch import Tensor

from efcompile.ops.attention import attention, head_view

B, H, T, D, E = 2, 3, 5, 4, 6
torch.manual_seed(0)
MERGED = torch.randn(B, T, H * (2 * D + E))


def operands() -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = torch.split(MERGED, [H * D, H * D, H * E], -1)
    return heads(q), heads(k), heads(v)


def heads(x: Tensor) -> Tensor:
    return x.reshape(B, T, H, -1).transpose(1, 2)


def views() -> list[list[int]]:
    width = H * (2 * D + E)
    starts_and_dims = ((0, D), (H * D, D), (2 * H * D, E))
    return [[start, T * width, dim, width, 1] for start, dim in starts_and_dims]


def test_reads_a_merged_projection_in_place() -> None:
    bias = torch.randn(1, H, T, T)
    q, k, v = operands()
    want = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=0.3)
    got = attention(
        MERGED, MERGED, MERGED, bias, None, None, None, [B, H, T, T, D, E], *views(), 0.3
    )
    torch.testing.assert_close(got, want.transpose(1, 2).reshape(B, T, H * E))


def test_talking_heads() -> None:
    bias, mix1, mix2, mix2_bias = (
        torch.randn(1, H, T, T),
        torch.randn(H, H),
        torch.randn(H, H),
        torch.randn(H),
    )
    q, k, v = operands()
    logits = torch.einsum("gh,bhqk->bgqk", mix1, 0.3 * q @ k.mT) + bias
    weights = F.conv2d(logits.softmax(-1), mix2[:, :, None, None], mix2_bias)
    got = attention(
        MERGED, MERGED, MERGED, bias, mix1, mix2, mix2_bias, [B, H, T, T, D, E], *views(), 0.3
    )
    torch.testing.assert_close(got, (weights @ v).transpose(1, 2).reshape(B, T, H * E))


def test_head_view_reads_transposed_rows() -> None:
    x = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    torch.testing.assert_close(head_view(x, (2, 3, 5, 4), (0, 60, 20, 1, 5)), x.mT)


def test_a_convolution_of_the_values_is_added() -> None:
    q, k, v = operands()
    taps, shift = torch.randn(H * E, 3, 3, 1), torch.randn(H * E)
    rows, columns = 1, T
    want = F.scaled_dot_product_attention(q, k, v, scale=0.3).transpose(1, 2).flatten(2)
    picture = v.transpose(2, 3).reshape(B, H * E, rows, columns)
    near = F.conv2d(picture, taps.permute(0, 3, 1, 2), shift, padding=1, groups=H * E)
    got = attention(
        MERGED, MERGED, MERGED, None, None, None, None, [B, H, T, T, D, E], *views(), 0.3,
        taps, shift, [rows, columns, 1, 1, 1, 1], "gelu",
    )  # fmt: skip
    torch.testing.assert_close(got, F.gelu(want + near.flatten(2).transpose(1, 2)))
