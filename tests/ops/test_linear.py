"""linear and matmul against torch's."""

import torch
import torch.nn.functional as F

from efcompile.ops.linear import linear, matmul

torch.manual_seed(0)


def test_linear() -> None:
    x, weight, bias, residual = (torch.randn(s) for s in ((2, 3, 4), (5, 4), (5,), (2, 3, 5)))
    torch.testing.assert_close(
        linear(x, weight, bias, residual, "silu"), F.silu(F.linear(x, weight, bias)) + residual
    )
    torch.testing.assert_close(linear(x, weight), x @ weight.T)


def test_linear_is_a_pointwise_convolution() -> None:
    x, weight = torch.randn(2, 4, 3, 5), torch.randn(6, 4)
    want = F.conv2d(x, weight[:, :, None, None])
    torch.testing.assert_close(linear(x.permute(0, 2, 3, 1), weight).permute(0, 3, 1, 2), want)


def test_matmul() -> None:
    a, b = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 5, 6)
    torch.testing.assert_close(matmul(a, b), torch.einsum("bhij,bhjk->bhik", a, b))
