"""conv2d against torch's, channels-last and from the model's own layout."""

import pytest
import torch
import torch.nn.functional as F

from efcompile.ops.conv import conv2d

torch.manual_seed(0)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("nchw", [False, True])
def test_is_torchs(groups: int, nchw: bool) -> None:
    x, weight, bias = torch.randn(2, 4, 9, 7), torch.randn(8, 4 // groups, 3, 5), torch.randn(8)
    want = F.conv2d(x, weight, bias, (2, 1), (1, 2), (2, 1), groups)
    residual = torch.randn(want.shape)
    got = conv2d(
        x if nchw else x.permute(0, 2, 3, 1), weight.permute(0, 2, 3, 1), bias,
        residual.permute(0, 2, 3, 1), [2, 1], [1, 2], [2, 1], groups, "gelu", nchw,
    )  # fmt: skip
    torch.testing.assert_close(got.permute(0, 3, 1, 2), F.gelu(want) + residual)
