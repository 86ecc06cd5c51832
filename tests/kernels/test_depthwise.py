from typing import Any

import pytest
import torch

from efcompile.kernels.depthwise import KERNEL
from tests.kernels.harness import check, op_call


def depthwise_args(
    channels: int = 37, kernel: tuple[int, int] = (3, 3), **options: Any
) -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "x": torch.randn(2, 9, 23, channels),
        "weight": torch.randn(channels, *kernel, 1),
        "bias": torch.randn(channels),
        "residual": None,
        "stride": [1, 1],
        "padding": [kernel[0] // 2, kernel[1] // 2],
        "dilation": [1, 1],
        "groups": channels,
    } | options


@pytest.mark.parametrize(
    "args",
    [
        {"act": "relu6"},
        {"stride": [2, 2], "bias": None},
        {"kernel": (5, 5)},
        {"kernel": (7, 7), "channels": 20},
        {"kernel": (5, 3), "padding": [0, 0]},
        {"dilation": [2, 3], "padding": [2, 4]},
        {"kernel": (3, 3), "padding": [4, 3], "channels": 1, "x": torch.ones(1, 1, 2, 1)},
        {"act": "gelu", "residual": torch.ones(2, 9, 23, 37)},
    ],
)
def test_matches_reference(args: dict[str, Any]) -> None:
    check(
        KERNEL,
        constants=("weight", "bias"),
        plain_operands=("x", "weight", "bias", "residual"),
        **depthwise_args(**args),
    )


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"groups": 1, "weight": torch.ones(6, 3, 3, 6)}, "not depthwise"),
        ({"x": torch.ones(2, 6, 9, 9), "nchw_input": True}, "channels-first"),
    ],
)
def test_refuses(change: dict[str, Any], word: str) -> None:
    args = depthwise_args(channels=6) | change
    reason = KERNEL.shape_of(op_call("conv2d", constants=("weight", "bias"), **args))
    assert isinstance(reason, str) and word in reason
