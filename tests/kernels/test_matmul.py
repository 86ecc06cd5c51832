import pytest
import torch

from efcompile.kernels.matmul import KERNEL
from tests.kernels.harness import check, op_call

CASES = [
    ((2, 3, 49, 17), (2, 3, 17, 33)),
    ((1, 4, 13, 20), (4, 20, 64)),
    ((5, 6, 7), (2, 5, 7, 40)),
    ((30, 8), (8, 3)),
]


@pytest.mark.parametrize(("a", "b"), CASES)
def test_matches_reference(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    check(KERNEL, plain_operands=("a", "b"), a=torch.randn(a), b=torch.randn(b))


@pytest.mark.parametrize(
    ("a", "b", "why"),
    [
        (torch.ones(3), torch.ones(3, 2), "vector"),
        (torch.ones(2, 3).double(), torch.ones(3, 2).double(), "float64"),
    ],
)
def test_refusals(a: torch.Tensor, b: torch.Tensor, why: str) -> None:
    reason = KERNEL.shape_of(op_call("matmul", a=a, b=b))
    assert isinstance(reason, str) and why in reason
