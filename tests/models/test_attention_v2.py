import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from efcompile.models.attention_v2 import HEADS, Attention, AttentionDownsample
from efcompile.models.randomize import randomize
from tests.models.parity import relative_error


def _per_head(x: Tensor) -> list[Tensor]:
    """``[N, HEADS * D, H, W]`` to one ``[N, H * W, D]`` per head."""
    return [head.flatten(2).mT for head in x.chunk(HEADS, dim=1)]


def _bias(table: Tensor, side: int, stride: int) -> Tensor:
    """``[HEADS, queries, keys]`` from a table ``[HEADS, side * side]``."""
    queries = [(y, x) for y in range(0, side, stride) for x in range(0, side, stride)]
    keys = [(y, x) for y in range(side) for x in range(side)]
    rows = [
        torch.stack([table[:, abs(qy - y) * side + abs(qx - x)] for y, x in keys], -1)
        for qy, qx in queries
    ]
    return torch.stack(rows, 1)


def _image(per_head: list[Tensor], side: int) -> Tensor:
    batch = per_head[0].shape[0]
    return torch.cat([head.mT.reshape(batch, -1, side, side) for head in per_head], dim=1)


def _talk(conv: nn.Conv2d, per_head: list[Tensor]) -> list[Tensor]:
    """Mix heads ``[N, queries, keys]`` by a 1x1 convolution, spelled out as a sum."""
    assert conv.bias is not None
    return [
        sum((conv.weight[h, g, 0, 0] * per_head[g] for g in range(HEADS)), conv.bias[h])
        for h in range(HEADS)
    ]


@pytest.mark.parametrize(("side", "stride"), [(3, 1), (6, 2)])
@torch.no_grad()
def test_attention_by_its_formula(side: int, stride: int) -> None:
    channels, inner = 12, side // stride
    x = torch.randn(2, channels, side, side)
    attention = randomize(Attention(channels, side, stride), 1, (x,)).eval()
    y = attention.stride_conv(x) if attention.stride_conv is not None else x
    q, k, v = (_per_head(conv(y)) for conv in (attention.q, attention.k, attention.v))
    bias = _bias(attention.attention_biases, inner, 1)
    logits = [q[h] @ k[h].mT / 32**0.5 + bias[h] for h in range(HEADS)]
    weights = [talk.softmax(-1) for talk in _talk(attention.talking_head1, logits)]
    mixed = [w @ v[h] for h, w in enumerate(_talk(attention.talking_head2, weights))]
    out = _image(mixed, inner) + attention.v_local(attention.v(y))
    if stride > 1:
        out = F.interpolate(out, (side, side), mode="bilinear")
    expected = attention.proj(F.gelu(out))
    assert relative_error(attention(x), expected) < 1e-5


@torch.no_grad()
def test_attention_downsample_by_its_formula() -> None:
    side, channels = 6, 12
    x = torch.randn(2, channels, side, side)
    attention = randomize(AttentionDownsample(channels, 20, side), 1, (x,)).eval()
    points = attention.q.proj(attention.q.local(x) + x[:, :, ::2, ::2])
    q, k, v = _per_head(points), _per_head(attention.k(x)), _per_head(attention.v(x))
    bias = _bias(attention.attention_biases, side, 2)
    mixed = [(q[h] @ k[h].mT / 16**0.5 + bias[h]).softmax(-1) @ v[h] for h in range(HEADS)]
    local = attention.v_local(attention.v(x))
    expected = attention.proj(F.gelu(_image(mixed, side // 2) + local))
    assert expected.shape == (2, 20, 3, 3)
    assert relative_error(attention(x), expected) < 1e-5


@pytest.mark.parametrize(
    "attention", [Attention(8, 4, 1), AttentionDownsample(8, 8, 4)], ids=lambda a: type(a).__name__
)
@torch.no_grad()
def test_bias_tables_are_read_on_every_call(attention: Attention | AttentionDownsample) -> None:
    x = torch.randn(1, 8, 4, 4)
    randomize(attention, 0, (x,)).eval()
    before = attention(x)
    attention.attention_biases.mul_(-1)
    assert relative_error(attention(x), before) > 1e-3
