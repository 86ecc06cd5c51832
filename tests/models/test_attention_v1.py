import torch

from efcompile.models.attention_v1 import HEADS, KEY_DIM, VALUE_DIM, Attention
from efcompile.models.randomize import randomize
from tests.models.parity import relative_error


@torch.no_grad()
def test_attention_by_its_formula() -> None:
    side, channels = 3, 20
    attention = randomize(Attention(channels, side), seed=1)
    tokens = torch.randn(2, side * side, channels)
    width = 2 * KEY_DIM + VALUE_DIM
    qkv = attention.qkv(tokens)
    mixed = []
    for head in range(HEADS):
        q, k, v = qkv[..., head * width : (head + 1) * width].split(
            [KEY_DIM, KEY_DIM, VALUE_DIM], -1
        )
        bias = torch.empty(side**2, side**2)
        for i in range(side**2):
            for j in range(side**2):
                dy, dx = abs(i // side - j // side), abs(i % side - j % side)
                bias[i, j] = attention.attention_biases[head, dy * side + dx]
        mixed.append((q @ k.mT / KEY_DIM**0.5 + bias).softmax(-1) @ v)
    expected = attention.proj(torch.cat(mixed, -1))
    assert relative_error(attention(tokens), expected) < 1e-5


def test_attention_follows_its_bias_table() -> None:
    attention = randomize(Attention(16, 3)).eval()
    tokens = torch.randn(1, 9, 16)
    with torch.no_grad():
        before = attention(tokens)
        attention.attention_biases.mul_(-1)
        assert relative_error(attention(tokens), before) > 1e-2
