from dataclasses import replace
from typing import Any

import pytest
import torch

from efcompile.kernels import registry
from efcompile.kernels.kernel import OpCall, Operand
from efcompile.ops import OPS
from tests.kernels.harness import op_call


def test_every_dialect_op_has_a_kernel() -> None:
    assert {kernel.op for kernel in registry.KERNELS} == set(OPS)


def test_the_first_kernel_that_does_not_refuse_is_taken() -> None:
    weight, settings = torch.randn(8, 3, 3, 1), ([1, 1], [1, 1], [1, 1], 8)
    stride, padding, dilation, groups = settings
    call = op_call(
        "conv2d",
        ["weight"],
        x=torch.randn(1, 5, 5, 8),
        weight=weight,
        bias=None,
        residual=None,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    found = registry.find(call)
    assert not isinstance(found, str) and found[0].name == "depthwise"


def test_reasons_are_kept_when_none_does() -> None:
    call = op_call("linear", x=torch.randn(2, 3), weight=torch.randn(4, 3))
    found = registry.find(call)
    assert isinstance(found, str) and "gemm: " in found and "weight" in found
    unknown = OpCall("conjure", {}, call.out)
    assert registry.find(unknown) == "no kernel implements conjure"


IMAGE, NAMES = torch.randn(1, 4, 4, 8), ("weight", "weight1", "weight2", "bias", "bias1", "bias2")
PAIRS = {"stride": [1, 1], "padding": [1, 1], "dilation": [1, 1]}
WINDOW: dict[str, Any] = {"kernel": [2, 2], "stride": [2, 2], "padding": [0, 0], "ceil_mode": False}
MLP = {
    "weight1": torch.randn(6, 8),
    "bias1": torch.randn(6),
    "weight2": torch.randn(8, 6),
    "bias2": torch.randn(8),
    "residual": IMAGE,
}
FFN = {
    "depthwise": torch.randn(6, 3, 3, 1),
    "depthwise_bias": torch.randn(6),
    "stride": [1, 1],
    "padding": [1, 1],
    "act1": "relu",
    "act2": "relu",
}
SEPARABLE: dict[str, Any] = {
    "depthwise": torch.randn(8, 3, 3, 1),
    "depthwise_bias": torch.randn(8),
    "weight": torch.randn(8, 8),
    "bias": torch.randn(8),
    "residual": IMAGE,
    **PAIRS,
    "act1": "relu",
    "act2": "relu",
}
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("linear", {"weight": torch.randn(8, 8), "bias": torch.randn(8), "residual": IMAGE}),
    *(
        (
            "conv2d",
            {"weight": torch.randn(8, 3, 3, 8 // groups), "bias": torch.randn(8)}
            | {"residual": IMAGE, "groups": groups, **PAIRS},
        )
        for groups in (1, 2, 8)
    ),
    ("mlp", MLP | {"act": "relu"}),
    ("ffn", MLP | FFN),
    ("separable", SEPARABLE),
    ("avg_pool2d", WINDOW | {"count_include_pad": True}),
    ("max_pool2d", WINDOW | {"dilation": [1, 1]}),
    ("pool_mixer", {"residual": IMAGE, "scale": torch.randn(8), "kernel": 3}),
    ("resize", {"size": [8, 8], "mode": "nearest", "align_corners": False, "scales": []}),
    ("pad", {"pads": [1, 1], "value": 0.0}),
]
"""Calls on `IMAGE` of the ops whose kernels compute, with all the operands they can have."""


@pytest.mark.parametrize(("op", "args"), CALLS)
def test_what_computes_refuses_every_operand_that_is_not_float32(
    op: str, args: dict[str, Any]
) -> None:
    call = op_call(op, (*NAMES, "depthwise", "depthwise_bias"), x=IMAGE, **args)
    assert not isinstance(registry.find(call), str)
    for name, value in call.args.items():
        if isinstance(value, Operand):
            double = {**call.args, name: replace(value, dtype="float64")}
            reason = registry.find(replace(call, args=double))
            assert isinstance(reason, str) and f"{name} is float64" in reason
