from dataclasses import replace
from typing import Any

import pytest
import torch

from efcompile.kernels.ffn import KERNEL
from efcompile.kernels.ffn_shape import CONSTANTS
from tests.kernels.emulated import ARM64
from tests.kernels.harness import HOST, assert_close, check, op_call, reference, run_built


def ffn_args(
    image: tuple[int, int] = (9, 10),
    hidden: int = 37,
    kernel: int = 3,
    outputs: int = 20,
    **options: Any,
) -> dict[str, Any]:
    """Random operands; biases are large, so a border that is act(bias) and not zero shows."""
    torch.manual_seed(0)
    return {
        "x": torch.randn(2, *image, 12),
        "weight1": torch.randn(hidden, 12),
        "bias1": 3 + torch.randn(hidden),
        "depthwise": torch.randn(hidden, kernel, kernel, 1),
        "depthwise_bias": torch.randn(hidden),
        "weight2": torch.randn(outputs, hidden),
        "bias2": torch.randn(outputs),
        "residual": None,
        "stride": [1, 1],
        "padding": [kernel // 2, kernel // 2],
        "act1": "relu",
        "act2": "relu",
    } | options


@pytest.mark.parametrize(
    "args",
    [
        {"act1": "gelu", "act2": "gelu", "residual": torch.randn(2, 9, 10, 20)},
        {"stride": [2, 2], "bias1": None, "depthwise_bias": None, "bias2": None},
        {"kernel": 5, "act2": "none", "image": (3, 4)},
        {"padding": [0, 0]},
    ],
)
def test_matches_reference(args: dict[str, Any]) -> None:
    operands = ("x", *CONSTANTS, "residual")
    check(KERNEL, constants=CONSTANTS, plain_operands=operands, **ffn_args(**args))


@pytest.mark.parametrize("rows", [1, 2, 4, 9])
@pytest.mark.parametrize("stride", [1, 2])
def test_any_rows_of_a_step(rows: int, stride: int) -> None:
    args = ffn_args(stride=[stride, stride])
    call = op_call("ffn", CONSTANTS, **args)
    knobs = replace(KERNEL.default_knobs(KERNEL.shape_of(call), HOST), rows=rows)
    knobs = replace(knobs, rows=min(rows, call.out.shape[1]))
    got = run_built(KERNEL, call, args, knobs=knobs, pieces=4)
    assert_close(got, reference("ffn", **args).numpy())


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(
    ("width", "stride", "act"), [(7, 1, "gelu"), (35, 1, "relu"), (28, 2, "gelu"), (28, 1, "gelu")]
)
def test_on_neon_pixels_lie_side_by_side(width: int, stride: int, act: str, rows: int) -> None:
    args = ffn_args((5, width), 36, stride=[stride, stride], act1=act, act2=act)
    call = op_call("ffn", CONSTANTS, **args)
    knobs = KERNEL.default_knobs(KERNEL.shape_of(call), ARM64)
    assert knobs.side_by_side
    for pieces in (1, 4):
        got = run_built(KERNEL, call, args, ARM64, replace(knobs, rows=rows), pieces)
        assert_close(got, reference("ffn", **args).numpy())


@pytest.mark.parametrize(
    ("constants", "change", "word"),
    [
        (CONSTANTS[:2], {}, "depthwise"),
        (CONSTANTS, {"residual": torch.randn(20)}, "broadcast"),
    ],
)
def test_refuses(constants: tuple[str, ...], change: dict[str, Any], word: str) -> None:
    reason = KERNEL.shape_of(op_call("ffn", constants=constants, **(ffn_args() | change)))
    assert isinstance(reason, str) and word in reason
