from typing import Any

import numpy as np
import pytest
import torch

from efcompile.kernels.mean import KERNEL, Axis, Shape
from tests.kernels.harness import HOST, check, op_call, reference, run_built

CASES = [
    ((2, 7, 7, 150), (1, 2), False),
    ((2, 1, 1, 37), (1, 2), True),
    ((3, 5, 261), (-1,), True),
    ((2, 3, 11, 13), (2, 3), False),
    ((3, 4, 5, 6, 70), (0, 2, 3), True),
    ((3, 4, 5, 6, 7), (0, 2, 4), False),
    ((5, 9), (), False),
    ((1, 1), (0, 1), True),
]


@pytest.mark.parametrize(("size", "dims", "keepdim"), CASES)
def test_matches_reference(size: tuple[int, ...], dims: tuple[int, ...], keepdim: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(size) + 0.5
    check(KERNEL, plain_operands=("x",), x=x, dims=dims, keepdim=keepdim)


def test_adjacent_axes_merge() -> None:
    call = op_call("mean", x=torch.ones(2, 1, 4, 5, 6), dims=[2, 3], keepdim=True)
    assert KERNEL.shape_of(call) == Shape((Axis(2, False), Axis(20, True), Axis(6, False)))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("dims", [(1, 2), (3,)])
def test_what_is_not_finite_spoils_its_own_result_only(bad: float, dims: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 4, 23)
    x[1, 2, 3, 4] = bad
    args: dict[str, Any] = {"x": x, "dims": dims, "keepdim": False}
    got = run_built(KERNEL, op_call("mean", **args), args, HOST)
    np.testing.assert_allclose(got, reference("mean", **args).numpy(), atol=1e-6)


def test_refuses_other_dtypes() -> None:
    reason = KERNEL.shape_of(op_call("mean", x=torch.ones(3).double(), dims=[0], keepdim=False))
    assert isinstance(reason, str) and "float64" in reason
