from dataclasses import replace
from typing import Any

import pytest
import torch

from efcompile.kernels.separable import CONSTANTS, KERNEL
from tests.kernels.harness import HOST, assert_close, check, op_call, reference, run_built


def separable_args(
    image: tuple[int, int] = (9, 10), channels: int = 37, **options: Any
) -> dict[str, Any]:
    """Random operands; biases are large, so a border that is act(bias) and not zero shows."""
    torch.manual_seed(0)
    return {
        "x": torch.randn(2, *image, channels),
        "depthwise": torch.randn(channels, 3, 3, 1),
        "depthwise_bias": 3 + torch.randn(channels),
        "weight": torch.randn(20, channels),
        "bias": torch.randn(20),
        "residual": None,
        "stride": [1, 1],
        "padding": [1, 1],
        "dilation": [1, 1],
        "act1": "relu",
        "act2": "relu6",
    } | options


@pytest.mark.parametrize(
    "args",
    [
        {"act1": "gelu", "act2": "gelu", "residual": torch.randn(2, 9, 10, 20)},
        {"stride": [2, 1], "depthwise_bias": None, "bias": None, "act2": "none"},
        {"depthwise": torch.randn(37, 5, 3, 1), "padding": [2, 0], "image": (3, 4)},
        {"dilation": [2, 3], "padding": [2, 3], "act1": "none"},
    ],
)
def test_matches_reference(args: dict[str, Any]) -> None:
    operands = ("x", *CONSTANTS, "residual")
    check(KERNEL, constants=CONSTANTS, plain_operands=operands, **separable_args(**args))


@pytest.mark.parametrize("rows", [1, 2, 4, 9])
@pytest.mark.parametrize("stride", [1, 2])
def test_any_rows_of_a_step(rows: int, stride: int) -> None:
    args = separable_args(stride=[stride, stride])
    call = op_call("separable", CONSTANTS, **args)
    knobs = replace(
        KERNEL.default_knobs(KERNEL.shape_of(call), HOST), rows=min(rows, call.out.shape[1])
    )
    got = run_built(KERNEL, call, args, knobs=knobs, pieces=4)
    assert_close(got, reference("separable", **args).numpy())


@pytest.mark.parametrize(
    ("constants", "change", "word"),
    [
        (CONSTANTS[:2], {}, "weight"),
        (CONSTANTS, {"residual": torch.randn(20)}, "broadcast"),
    ],
)
def test_refuses(constants: tuple[str, ...], change: dict[str, Any], word: str) -> None:
    call = op_call("separable", constants=constants, **(separable_args() | change))
    reason = KERNEL.shape_of(call)
    assert isinstance(reason, str) and word in reason
