"""Pooling, heads and resizing against torch's, channels-last."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from efcompile.ops.pool import avg_pool2d, max_pool2d, mean, pool_linear, pool_mixer, resize

torch.manual_seed(0)
X = torch.randn(2, 6, 9, 7)


def last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


@pytest.mark.parametrize("count", [False, True])
@pytest.mark.parametrize("ceil", [False, True])
def test_avg_pool(count: bool, ceil: bool) -> None:
    want = F.avg_pool2d(X, (3, 2), (2, 2), (1, 0), ceil, count)
    torch.testing.assert_close(avg_pool2d(last(X), [3, 2], [2, 2], [1, 0], ceil, count), last(want))


def test_max_pool_nan_wins() -> None:
    x = X.clone()
    x[0, 0, 0, 0] = torch.nan
    want = F.max_pool2d(x, 3, 2, 1)
    got = max_pool2d(last(x), [3, 3], [2, 2], [1, 1], [1, 1], False)
    torch.testing.assert_close(got, last(want), equal_nan=True)
    assert got[0, 0, 0, 0].isnan()


def test_pool_mixer() -> None:
    scale, residual = torch.randn(6), torch.randn(X.shape)
    pooled = F.avg_pool2d(X, 3, 1, 1, count_include_pad=False)
    want = residual + scale[:, None, None] * (pooled - X)
    torch.testing.assert_close(pool_mixer(last(X), last(residual), scale, 3), last(want))
    torch.testing.assert_close(pool_mixer(last(X), None, None, 3), last(pooled - X))


def test_mean() -> None:
    torch.testing.assert_close(mean(X, [1, 3], True), X.mean((1, 3), keepdim=True))


@pytest.mark.parametrize("norm", ["none", "before", "after"])
def test_pool_linear(norm: str) -> None:
    weight, bias, x = torch.randn(4, 6), torch.randn(4), last(X)
    if norm == "before":
        x = F.layer_norm(x, (6,), eps=1e-3)
    pooled = x.mean((1, 2))
    if norm == "after":
        pooled = F.layer_norm(pooled, (6,), eps=1e-3)
    got = pool_linear(last(X), weight, bias, norm, 1e-3)
    torch.testing.assert_close(got, F.linear(pooled, weight, bias))


@pytest.mark.parametrize("align", [False, True])
def test_resize_bilinear(align: bool) -> None:
    want = F.interpolate(X, (13, 20), mode="bilinear", align_corners=align)
    got = resize(last(X), [13, 20], "bilinear", align, [], "relu")
    torch.testing.assert_close(got, last(want).relu())


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_resize_by_the_users_factor(mode: str) -> None:
    """13 / 9 is not 1.5: torch resamples by the factor that was given."""
    want = F.interpolate(X, scale_factor=1.5, mode=mode)
    got = resize(last(X), list(want.shape[2:]), mode, False, [1.5, 1.5])
    torch.testing.assert_close(got, last(want))
