import numpy as np
import pytest
import torch

from efcompile.kernels.softmax import KERNEL
from efcompile.targets.target import Target
from tests.kernels.harness import check, on_every_target, op_call, reference, run_built


@pytest.mark.parametrize("columns", [1, 49, 197])
def test_matches_reference(columns: int) -> None:
    torch.manual_seed(0)
    check(KERNEL, plain_operands=("x",), x=5 * torch.randn(2, 3, 7, columns))


@on_every_target
def test_special_values_are_eager_s(target: Target) -> None:
    torch.manual_seed(0)
    inf, nan = float("inf"), float("nan")
    x = torch.randn(8, 37)
    x[0, 3], x[1, 36], x[2, 5], x[3] = nan, nan, inf, -inf
    x[4, ::2], x[5], x[6], x[7, 1] = -inf, nan, 3e38, -3e38
    got = run_built(KERNEL, op_call("softmax", x=x), {"x": x}, target)
    np.testing.assert_allclose(got, reference("softmax", x=x).numpy(), rtol=1e-6, atol=1e-7)


def test_refuses_other_dtypes() -> None:
    reason = KERNEL.shape_of(op_call("softmax", x=torch.randn(2, 4).double()))
    assert isinstance(reason, str) and "float64" in reason
