import pytest
import torch

from efcompile.kernels.gather import KERNEL
from tests.kernels.harness import check, op_call


@pytest.mark.parametrize(
    ("size", "dim", "index_size"),
    [((4, 49), 1, (16, 16)), ((3, 9, 37), -2, (5,)), ((11, 6), 0, (2, 3)), ((20,), 0, (1,))],
)
def test_matches_reference(size: tuple[int, ...], dim: int, index_size: tuple[int, ...]) -> None:
    check(
        KERNEL,
        constants=("index",),
        x=torch.randn(size),
        index=torch.randint(0, size[dim], index_size),
        dim=dim % len(size),
    )


def test_plain_matches_reference() -> None:
    check(
        KERNEL,
        constants=("index",),
        plain_operands=("x", "index"),
        x=torch.randn(3, 8, 5),
        index=torch.tensor([7, 0, 0, 3]),
        dim=1,
    )


def test_refusals() -> None:
    x, index = torch.randn(4, 5), torch.tensor([1, 3])
    call = op_call("gather", x=x, index=index, dim=0)
    assert "not a constant" in KERNEL.shape_of(call)
    complex_call = op_call("gather", ("index",), x=x.to(torch.complex64), index=index, dim=0)
    assert "complex64" in KERNEL.shape_of(complex_call)
    empty = op_call("gather", ("index",), x=torch.zeros(4, 0), index=index, dim=0)
    assert "empty" in KERNEL.shape_of(empty)


def test_refuses_an_index_out_of_range() -> None:
    call = op_call("gather", ("index",), x=torch.randn(4, 5), index=torch.tensor([1, 3]), dim=0)
    index = call.operand("index").value
    assert index is not None
    index[0] = -1
    assert "outside 0 .. 3" in KERNEL.shape_of(call)
