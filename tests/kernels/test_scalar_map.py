import torch

from efcompile.kernels.scalar_map import KERNEL
from tests.kernels.harness import check, op_call


def test_matches_reference() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 49, 157)
    check(KERNEL, plain_operands=("x",), x=x, multiply=0.37, add=-1.25)


def test_refuses_other_dtypes() -> None:
    call = op_call("scalar", x=torch.randn(4).double(), multiply=2.0, add=0.0)
    reason = KERNEL.shape_of(call)
    assert isinstance(reason, str) and "float64" in reason
