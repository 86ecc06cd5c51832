import pytest
import torch

from efcompile.kernels.activation_map import KERNEL
from tests.kernels.harness import check, op_call


@pytest.mark.parametrize(("size", "act"), [((3, 37), "gelu"), ((2, 49, 157), "silu")])
def test_matches_reference(size: tuple[int, ...], act: str) -> None:
    torch.manual_seed(0)
    check(KERNEL, plain_operands=("x",), x=3 * torch.randn(size), act=act)


def test_refuses_other_dtypes() -> None:
    call = op_call("activation", x=torch.randn(4).double(), act="relu")
    reason = KERNEL.shape_of(call)
    assert isinstance(reason, str) and "float64" in reason
