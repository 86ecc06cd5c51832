from typing import Any

import numpy as np
import pytest
import torch

from efcompile.kernels.mean import KERNEL
from tests.kernels.harness import HOST, check, op_call, run_built


@pytest.mark.parametrize(
    ("shape", "dims"),
    [
        ((2, 7, 7, 37), [1, 2]),
        ((2, 17, 20, 200), [2, 1]),
        ((3, 5, 49), [-1]),
        ((4, 1, 5, 1), [0, 1, 3]),
        ((2, 3), [0, 1]),
    ],
)
@pytest.mark.parametrize("keepdim", [False, True])
def test_matches_reference(shape: tuple[int, ...], dims: list[int], keepdim: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape) + 0.5
    check(KERNEL, plain_operands=("x",), x=x, dims=dims, keepdim=keepdim)


def test_long_sums_stay_accurate() -> None:
    torch.manual_seed(0)
    args: dict[str, Any] = {"x": torch.rand(1, 20000, 24) + 100, "dims": [1], "keepdim": False}
    got = run_built(KERNEL, op_call("mean", **args), args, HOST)
    exact = args["x"].double().mean(1).numpy()
    assert np.abs(got / exact - 1).max() < 2e-6


@pytest.mark.parametrize(
    ("x", "dims", "why"),
    [
        (torch.ones(2, 3, 4), [0, 2], "neighbours"),
        (torch.ones(2, 3).double(), [1], "float64"),
    ],
)
def test_refusals(x: torch.Tensor, dims: list[int], why: str) -> None:
    reason = KERNEL.shape_of(op_call("mean", x=x, dims=dims, keepdim=False))
    assert isinstance(reason, str) and why in reason
