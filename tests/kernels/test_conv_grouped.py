from typing import Any

import pytest
import torch

from efcompile.kernels.conv_grouped import KERNEL
from tests.kernels.harness import check, op_call


def grouped_args(groups: int, channels: int, filters: int, **options: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "x": torch.randn(2, 9, 10, channels),
        "weight": torch.randn(filters, 3, 3, channels // groups),
        "bias": torch.randn(filters),
        "residual": None,
        "stride": [1, 1],
        "padding": [1, 1],
        "dilation": [1, 1],
        "groups": groups,
    } | options


@pytest.mark.parametrize(
    "args",
    [
        {"groups": 2, "channels": 34, "filters": 46, "act": "relu"},
        {"groups": 4, "channels": 12, "filters": 20, "stride": [2, 2], "bias": None},
        {"groups": 7, "channels": 7, "filters": 14, "dilation": [2, 2], "padding": [2, 2]},
        {"groups": 3, "channels": 6, "filters": 9, "padding": [0, 0]},
        {"groups": 3, "channels": 6, "filters": 48, "x": torch.ones(1, 6, 5, 5),
         "nchw_input": True},
    ],
)  # fmt: skip
def test_matches_reference(args: dict[str, Any]) -> None:
    check(
        KERNEL,
        constants=("weight", "bias"),
        plain_operands=("x", "weight", "bias", "residual"),
        **grouped_args(**args),
    )


def test_refuses_a_dense_convolution() -> None:
    args = grouped_args(1, 4, 8)
    reason = KERNEL.shape_of(op_call("conv2d", constants=("weight", "bias"), **args))
    assert isinstance(reason, str) and "dense" in reason
