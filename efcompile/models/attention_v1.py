"""The attention of EfficientFormer V1, on tokens ``[N, T, C]``."""

from typing import cast

import torch
from torch import Tensor, nn

from efcompile.models.relative_position import relative_position_index

HEADS = 8
KEY_DIM = 32
VALUE_DIM = 128


class Attention(nn.Module):
    """Attention over all tokens of a ``side * side`` grid, with a learned bias per offset.

    Input and output: ``[N, side * side, C]``. The bias is gathered on every call: no cache
    that could outlive the weights it was made from.
    """

    attention_bias_idxs: Tensor

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(channels, HEADS * (2 * KEY_DIM + VALUE_DIM))
        self.proj = nn.Linear(HEADS * VALUE_DIM, channels)
        self.attention_biases = nn.Parameter(torch.zeros(HEADS, side * side))
        self.register_buffer("attention_bias_idxs", relative_position_index(side))

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        # Heads are the outer part of the channels: each head holds its own q, k and v.
        qkv = self.qkv(x).reshape(batch, tokens, HEADS, -1).transpose(1, 2)
        q, k, v = qkv.split([KEY_DIM, KEY_DIM, VALUE_DIM], dim=-1)
        logits = (q @ k.transpose(-2, -1)) * KEY_DIM**-0.5
        logits = logits + self.attention_biases[:, self.attention_bias_idxs]
        mixed = logits.softmax(dim=-1) @ v
        return cast(Tensor, self.proj(mixed.transpose(1, 2).reshape(batch, tokens, -1)))
