"""Elementwise ops against plain arithmetic."""

import pytest
import torch

from efcompile.ops.elementwise import BINARY, affine, binary, scalar

torch.manual_seed(0)


@pytest.mark.parametrize("kind", sorted(BINARY))
def test_binary_broadcasts_and_activates(kind: str) -> None:
    a, b = torch.randn(2, 3, 4), torch.randn(3, 1)
    want = {
        "add": a + b,
        "sub": a - b,
        "mul": a * b,
        "div": a / b,
        "maximum": torch.where(a > b, a, b),
        "minimum": torch.where(a < b, a, b),
    }[kind]
    torch.testing.assert_close(binary(a, b, kind, "relu"), want.relu())


@pytest.mark.parametrize("kind", ["maximum", "minimum"])
def test_nan_wins(kind: str) -> None:
    a = torch.tensor([torch.nan, 1.0])
    assert binary(a, a.flip(0), kind).isnan().all()


def test_scalar() -> None:
    x = torch.randn(3, 5)
    torch.testing.assert_close(scalar(x, -2.0, 0.5), -2 * x + 0.5)


def test_affine_is_a_batch_norm() -> None:
    norm = torch.nn.BatchNorm2d(4).eval()
    norm.running_mean, norm.running_var = torch.randn(4), torch.rand(4) + 0.5
    x = torch.randn(2, 4, 3, 5)
    scale = (norm.running_var + norm.eps).rsqrt()
    got = affine(x.permute(0, 2, 3, 1), scale, -norm.running_mean * scale, "relu")
    torch.testing.assert_close(got.permute(0, 3, 1, 2), norm(x).relu())
