from dataclasses import replace
from typing import Any

import pytest
import torch

from efcompile.kernels.mlp import KERNEL, block_rows
from efcompile.kernels.mlp_shape import Shape
from tests.kernels.emulated import ARM64
from tests.kernels.harness import HOST, check, op_call

CONSTANTS = ("weight1", "bias1", "weight2", "bias2")


def mlp_args(tokens: int = 23, act: str = "relu", **options: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "x": torch.randn(2, tokens, 20),
        "weight1": torch.randn(53, 20),
        "bias1": torch.randn(53),
        "weight2": torch.randn(27, 53),
        "bias2": torch.randn(27),
        "residual": torch.randn(2, tokens, 27),
        "act": act,
    } | options


@pytest.mark.parametrize(
    "args",
    [
        {"act": "gelu"},
        {"bias1": None, "bias2": None, "residual": None},
        {"tokens": 79, "weight1": torch.randn(400, 20), "bias1": torch.randn(400),
         "weight2": torch.randn(27, 400)},
    ],
)  # fmt: skip
def test_matches_reference(args: dict[str, Any]) -> None:
    operands = ("x", *CONSTANTS, "residual")
    check(KERNEL, constants=CONSTANTS, plain_operands=operands, **mlp_args(**args))


@pytest.mark.parametrize("act", ["gelu", "relu"])
def test_on_neon_rows_lie_side_by_side_where_vectors_fit(act: str) -> None:
    args = mlp_args(act=act, weight1=torch.randn(52, 20), bias1=torch.randn(52),
                    weight2=torch.randn(27, 52))  # fmt: skip
    shape = KERNEL.shape_of(op_call("mlp", constants=CONSTANTS, **args))
    assert isinstance(shape, Shape)
    assert KERNEL.default_knobs(shape, ARM64).side_by_side
    assert not KERNEL.default_knobs(shape, HOST).side_by_side
    check(KERNEL, constants=CONSTANTS, targets=[ARM64], **args)


def test_blocks_are_tall_when_the_weights_outgrow_the_cache() -> None:
    light = Shape(1, 3136, 48, 48, 192, True, True, True, "gelu")
    heavy = replace(light, m=784, n=448, k=448, h=1792)
    host = replace(HOST, cores=2, l1_bytes=1 << 15, l2_bytes=1 << 20)
    assert 4 * light.h * block_rows(light, host) <= host.l1_bytes // 2
    assert block_rows(heavy, host) > 2 * block_rows(light, host)


def test_weights_asked_into_l2_meet_one_tall_block() -> None:
    shape = Shape(1, 196, 256, 256, 512, True, True, True, "hardswish")
    target = replace(HOST, ask_l2=False, l1_bytes=48 << 10, l2_bytes=2 << 20, cores=1)
    assert block_rows(shape, target) == 14
    assert block_rows(shape, replace(target, ask_l2=True)) == 196
