import pytest
import torch

from efcompile.kernels.gemm import KERNEL
from tests.kernels.harness import check, op_call


@pytest.mark.parametrize(("m", "n", "k"), [(49, 40, 24), (13, 37, 7), (196, 96, 33), (1, 1000, 48)])
@pytest.mark.parametrize("act", ["none", "relu"])
def test_matches_reference(m: int, n: int, k: int, act: str) -> None:
    torch.manual_seed(0)
    check(
        KERNEL,
        constants=("weight", "bias"),
        plain_operands=("x", "weight", "bias", "residual"),
        x=torch.randn(1, m, k),
        weight=torch.randn(n, k),
        bias=torch.randn(n),
        residual=torch.randn(1, m, n),
        act=act,
    )


def test_without_bias_or_residual() -> None:
    torch.manual_seed(0)
    check(KERNEL, constants=("weight",), x=torch.randn(2, 5, 9, 12), weight=torch.randn(17, 12))


def test_refuses_a_weight_that_is_not_constant() -> None:
    reason = KERNEL.shape_of(op_call("linear", x=torch.randn(3, 4), weight=torch.randn(5, 4)))
    assert isinstance(reason, str) and "weight" in reason
