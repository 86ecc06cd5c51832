"""The fused blocks against the blocks they stand for."""

import torch
from torch import nn

from efcompile.ops.feedforward import ffn, mlp, separable

torch.manual_seed(0)


def test_mlp() -> None:
    first, second = nn.Linear(4, 12), nn.Linear(12, 5, bias=False)
    x, residual = torch.randn(2, 3, 4), torch.randn(2, 3, 5)
    want = second(nn.functional.gelu(first(x))) + residual
    got = mlp(x, first.weight, first.bias, second.weight, None, residual, "gelu")
    torch.testing.assert_close(got, want)


def test_ffn() -> None:
    first, last = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 5, 1)
    middle = nn.Conv2d(8, 8, 3, 2, 1, groups=8, bias=False)
    x = torch.randn(2, 3, 7, 9)
    want = last(nn.functional.relu6(middle(nn.functional.gelu(first(x)))))
    residual = torch.randn(want.shape)
    got = ffn(
        x.permute(0, 2, 3, 1), first.weight[:, :, 0, 0], first.bias,
        middle.weight.permute(0, 2, 3, 1), None, last.weight[:, :, 0, 0], last.bias,
        residual.permute(0, 2, 3, 1), [2, 2], [1, 1], "gelu", "relu6",
    )  # fmt: skip
    torch.testing.assert_close(got.permute(0, 3, 1, 2), want + residual)


def test_separable() -> None:
    middle, last = nn.Conv2d(6, 6, (3, 5), 2, (2, 4), 2, groups=6), nn.Conv2d(6, 5, 1)
    x = torch.randn(2, 6, 7, 9)
    want = nn.functional.relu6(last(nn.functional.gelu(middle(x))))
    residual = torch.randn(want.shape)
    got = separable(
        x.permute(0, 2, 3, 1), middle.weight.permute(0, 2, 3, 1), middle.bias,
        last.weight[:, :, 0, 0], last.bias, residual.permute(0, 2, 3, 1), [2, 2], [2, 4], [2, 2],
        "gelu", "relu6",
    )  # fmt: skip
    torch.testing.assert_close(got.permute(0, 3, 1, 2), want + residual)
