from typing import Any

import pytest
import torch

from efcompile.kernels.ffn_shape import CONSTANTS, Shape, shape_of
from tests.kernels.harness import op_call


def ffn_args(**options: Any) -> dict[str, Any]:
    return {
        "x": torch.randn(2, 7, 9, 4),
        "weight1": torch.randn(10, 4),
        "bias1": torch.randn(10),
        "depthwise": torch.randn(10, 3, 5, 1),
        "depthwise_bias": None,
        "weight2": torch.randn(6, 10),
        "bias2": torch.randn(6),
        "residual": None,
        "stride": [2, 1],
        "padding": [1, 2],
        "act1": "relu",
        "act2": "none",
    } | options


def test_geometry_is_the_ops() -> None:
    call = op_call("ffn", CONSTANTS, **ffn_args())
    shape = shape_of(call)
    assert isinstance(shape, Shape)
    assert (shape.batch, shape.down.out, shape.across.out, shape.n) == call.out.shape
    assert (shape.k, shape.c, shape.bias1, shape.depthwise_bias) == (4, 10, True, False)


@pytest.mark.parametrize("name", [n for n in CONSTANTS if n != "depthwise_bias"])
def test_refuses_an_operand_that_is_not_constant(name: str) -> None:
    reason = shape_of(op_call("ffn", [n for n in CONSTANTS if n != name], **ffn_args()))
    assert reason == f"{name} is not a constant"


def test_refuses_an_activation_it_has_no_code_for() -> None:
    call = op_call("ffn", CONSTANTS, **ffn_args())
    call.args["act2"] = "no_such_activation"
    reason = shape_of(call)
    assert isinstance(reason, str) and "no_such_activation" in reason


def test_refuses_a_broadcast_residual() -> None:
    reason = shape_of(op_call("ffn", CONSTANTS, **ffn_args(residual=torch.randn(6))))
    assert isinstance(reason, str) and "broadcast" in reason
