from typing import Any

import pytest
import torch

from efcompile.kernels.pool_linear import KERNEL, NORMS
from tests.kernels.harness import check, op_call


@pytest.mark.parametrize(
    ("shape", "classes"), [((1, 7, 7, 40), 130), ((3, 5, 17), 10), ((2, 1, 1, 33), 65)]
)
@pytest.mark.parametrize("norm", NORMS)
def test_matches_reference(shape: tuple[int, ...], classes: int, norm: str) -> None:
    torch.manual_seed(0)
    check(
        KERNEL,
        constants=("weight", "bias"),
        plain_operands=("x", "weight", "bias"),
        x=2 * torch.randn(shape) + 1,
        weight=torch.randn(classes, shape[-1]),
        bias=torch.randn(classes) if norm != "after" else None,
        norm=norm,
        eps=1e-5,
    )


@pytest.mark.parametrize(
    ("constants", "bias", "why"),
    [((), None, "weight"), (("weight",), torch.ones(5), "bias")],
)
def test_refusals(constants: tuple[str, ...], bias: torch.Tensor | None, why: str) -> None:
    x, weight = torch.ones(2, 3, 4), torch.ones(5, 4)
    call = op_call("pool_linear", constants, x=x, weight=weight, bias=bias, norm="none", eps=0.1)
    reason = KERNEL.shape_of(call)
    assert isinstance(reason, str) and why in reason


def test_refuses_other_dtypes() -> None:
    x, weight = torch.ones(2, 3, 4).double(), torch.ones(5, 4).double()
    args: dict[str, Any] = {"x": x, "weight": weight, "bias": None, "norm": "none", "eps": 0.1}
    reason = KERNEL.shape_of(op_call("pool_linear", ("weight",), **args))
    assert isinstance(reason, str) and "float64" in reason
