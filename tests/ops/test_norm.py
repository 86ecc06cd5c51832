"""Normalisations against torch's modules."""

import torch
from torch import nn

from efcompile.ops.norm import group_norm, layer_norm, norm_linear, softmax

torch.manual_seed(0)


def randomised(norm: nn.LayerNorm | nn.GroupNorm) -> tuple[torch.Tensor, torch.Tensor]:
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm.weight, norm.bias


def test_layer_norm() -> None:
    norm, x = nn.LayerNorm(6, eps=1e-3), torch.randn(2, 3, 6)
    weight, bias = randomised(norm)
    torch.testing.assert_close(layer_norm(x, weight, bias, 1e-3), norm(x))


def test_group_norm_is_channels_last() -> None:
    norm, x = nn.GroupNorm(2, 6, eps=1e-3), torch.randn(2, 6, 3, 5)
    weight, bias = randomised(norm)
    got = group_norm(x.permute(0, 2, 3, 1), 2, weight, bias, 1e-3)
    torch.testing.assert_close(got.permute(0, 3, 1, 2), norm(x))


def test_norm_linear_has_no_affine_part() -> None:
    x, weight, bias = torch.randn(2, 3, 6), torch.randn(4, 6), torch.randn(4)
    want = nn.functional.linear(nn.LayerNorm(6, eps=1e-3)(x), weight, bias)
    torch.testing.assert_close(norm_linear(x, weight, bias, 1e-3, "gelu"), nn.GELU()(want))


def test_softmax_passes_nan_on() -> None:
    x = torch.randn(2, 5)
    torch.testing.assert_close(softmax(x), x.exp() / x.exp().sum(-1, keepdim=True))
    x[0, 2] = torch.nan
    assert softmax(x)[0].isnan().all() and not softmax(x)[1].isnan().any()
