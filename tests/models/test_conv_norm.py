import pytest
import torch
from torch.nn import functional as F

from efcompile.models.conv_norm import ConvNorm, conv_norm_act
from efcompile.models.randomize import randomize
from tests.models.parity import relative_error


@pytest.mark.parametrize(("kernel", "stride", "groups"), [(1, 1, 1), (3, 2, 1), (3, 1, 6)])
@torch.no_grad()
def test_by_its_formula(kernel: int, stride: int, groups: int) -> None:
    block = randomize(conv_norm_act(6, 12, kernel, stride, groups)).eval()
    x = torch.randn(2, 6, 7, 5)
    conv = F.conv2d(x, block.conv.weight, block.conv.bias, stride, kernel // 2, 1, groups)
    bn = block.bn
    assert bn.running_mean is not None and bn.running_var is not None
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    shift = bn.bias - bn.running_mean * scale
    expected = F.gelu(conv * scale[:, None, None] + shift[:, None, None])
    assert relative_error(block(x), expected) < 1e-5


@torch.no_grad()
def test_without_activation() -> None:
    block = randomize(ConvNorm(4, 8, 3)).eval()
    x = torch.randn(1, 4, 5, 5)
    assert torch.equal(block(x), block.bn(block.conv(x)))
    assert block(x).min() < -0.5  # GELU's least value is -0.17
