"""The FFN panel by panel; `test_ffn` has the one that goes over all channels."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from efcompile.kernels.ffn import KERNEL
from efcompile.kernels.ffn_panels import Scratch
from efcompile.kernels.ffn_shape import CONSTANTS, Shape
from efcompile.kernels.register_tile import choose_tile
from efcompile.kernels.stencil import Axis
from efcompile.targets.target import Target
from tests.kernels.harness import HOST, TARGETS, assert_close, op_call, reference, run_built
from tests.kernels.test_ffn import ffn_args


@pytest.mark.skipif(HOST.arch != "x86_64", reason="panels are for x86-64")
@pytest.mark.parametrize("target", TARGETS, ids=lambda t: str(t.name))
@pytest.mark.parametrize("rows", [1, 2, 9])
@pytest.mark.parametrize(
    "change",
    [
        {"act1": "gelu", "act2": "gelu", "residual": torch.randn(2, 9, 10, 20)},
        {"stride": [2, 2], "bias1": None, "depthwise_bias": None, "bias2": None},
        {"stride": [4, 3], "act2": "gelu"},
        {"kernel": 5, "image": (9, 4)},
        {"padding": [0, 0], "image": (11, 10)},
    ],
)
def test_panel_by_panel(change: dict[str, Any], rows: int, target: Target) -> None:
    args = ffn_args(**change)
    call = op_call("ffn", CONSTANTS, **args)
    usual = KERNEL.default_knobs(KERNEL.shape_of(call), target)
    rows = min(rows, call.out.shape[1])
    for vectors in (1, 2):
        up = replace(usual.up, rows=3, vectors=vectors)
        knobs = replace(usual, up=up, rows=rows, by_panels=True)
        for pieces in (1, 4):
            got = run_built(KERNEL, call, args, target, knobs, pieces)
            assert_close(got, reference("ffn", **args).numpy())


def test_rings_hold_all_channels_and_the_middle_rows_a_step() -> None:
    axis = Axis(14, 3, 1, 1)
    shape = Shape(1, 8, 64, 8, axis, axis, True, True, True, True, "relu", "relu")
    up, down = choose_tile(14, 64, HOST, 8), choose_tile(14, 8, HOST, 64)
    one, two = (Scratch.of(shape, rows, up, down, 7) for rows in (1, 2))
    assert one.ring == two.ring == 3 * 14 * 64
    assert two.middle == 2 * one.middle and two.bytes - one.bytes == 4 * one.middle
