from typing import Any

import numpy as np
import pytest
import torch

from efcompile.kernels.layer_norm import KERNEL
from efcompile.targets.target import Target
from tests.kernels.harness import HOST, check, on_every_target, op_call, reference, run_built


@pytest.mark.parametrize(("channels", "affine"), [(7, "both"), (197, "none"), (384, "weight")])
def test_matches_reference(channels: int, affine: str) -> None:
    torch.manual_seed(0)
    check(
        KERNEL,
        constants=("weight", "bias"),
        plain_operands=("x", "weight", "bias"),
        x=2 * torch.randn(2, 5, channels) + 3,
        weight=torch.randn(channels) if affine != "none" else None,
        bias=torch.randn(channels) if affine == "both" else None,
        eps=1e-5,
    )


def test_large_mean_loses_no_more_than_eager() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 6000) + 1000
    args: dict[str, Any] = {"x": x, "weight": None, "bias": None, "eps": 1e-5}
    exact = torch.nn.functional.layer_norm(x.double(), (6000,)).numpy()
    got = run_built(KERNEL, op_call("layer_norm", **args), args, HOST)
    eager = np.abs(reference("layer_norm", **args).numpy() - exact).max()
    assert np.abs(got - exact).max() <= 2 * eager


@on_every_target
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_special_values_stay_in_their_row(value: float, target: Target) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 37)
    x[1, 20] = value
    args: dict[str, Any] = {"x": x, "weight": None, "bias": None, "eps": 1e-5}
    got = run_built(KERNEL, op_call("layer_norm", **args), args, target)
    wanted = reference("layer_norm", **args).numpy()
    np.testing.assert_allclose(got, wanted, atol=1e-5, equal_nan=True)


def test_refuses_other_dtypes() -> None:
    call = op_call("layer_norm", x=torch.randn(2, 4).double(), weight=None, bias=None, eps=1e-5)
    reason = KERNEL.shape_of(call)
    assert isinstance(reason, str) and "float64" in reason
