from typing import Any

import pytest
import torch

from efcompile.kernels.refusal import refusal
from tests.kernels.harness import op_call

ARGS: dict[str, Any] = {
    "x": torch.randn(3, 4),
    "weight": torch.randn(5, 4),
    "bias": torch.randn(5),
    "residual": torch.randn(3, 5),
}


@pytest.mark.parametrize(
    ("constants", "change", "reason"),
    [
        (("weight", "bias"), {}, None),
        (("weight",), {"bias": None, "residual": None}, None),
        (("weight",), {}, "bias is not a constant"),
        (("weight", "bias"), {"residual": torch.randn(5)}, "the residual is broadcast"),
    ],
)
def test_reasons(constants: tuple[str, ...], change: dict[str, Any], reason: str | None) -> None:
    assert refusal(op_call("linear", constants, **ARGS | change), ("weight", "bias")) == reason


def test_unknown_activations_and_other_dtypes() -> None:
    call = op_call("linear", **ARGS)
    call.args["act"] = "erf"
    assert refusal(call) == "no vector code for the activation erf"
    double = op_call("linear", **{name: value.double() for name, value in ARGS.items()})
    assert "float64" in (refusal(double) or "")
