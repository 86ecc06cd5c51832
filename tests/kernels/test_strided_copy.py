import pytest
import torch

from efcompile.kernels.strided_copy import EXPAND, PERMUTE, SLICE, Shape
from tests.kernels.harness import check, op_call


def shape_of_permute(size: tuple[int, ...], dims: list[int]) -> Shape:
    shape = PERMUTE.shape_of(op_call("permute", x=torch.zeros(size), dims=dims))
    assert isinstance(shape, Shape)
    return shape


@pytest.mark.parametrize(
    ("size", "dims"),
    [
        ((2, 3, 9, 11), [0, 2, 3, 1]),  # an image's planes into pixels: woven
        ((2, 9, 11, 3), [0, 3, 1, 2]),
        ((2, 33, 7, 7), [0, 2, 3, 1]),  # NCHW to NHWC
        ((1, 7, 7, 40), [0, 3, 1, 2]),
        ((2, 49, 3, 4, 5), [2, 0, 3, 1, 4]),  # q, k, v by head
        ((2, 17, 3, 8), [0, 2, 3, 1]),  # keys transposed by head
        ((2, 3, 5, 7), [3, 2, 1, 0]),
        ((4, 5, 6), [0, 1, 2]),
    ],
)
def test_permute(size: tuple[int, ...], dims: list[int]) -> None:
    check(PERMUTE, plain_operands=("x",), x=torch.randn(size), dims=dims)


def test_permute_merges_dimensions_that_stay_together() -> None:
    assert shape_of_permute((2, 8, 7, 7), [0, 2, 3, 1]).dims == (2, 49, 8)
    assert shape_of_permute((1, 8, 7, 7), [0, 2, 3, 1]).dims == (49, 8)
    assert shape_of_permute((2, 8, 7), [0, 1, 2]).dims == (112,)


@pytest.mark.parametrize(
    ("dim", "start", "end", "step"),
    [(1, 1, 8, 2), (2, 3, 200, 1), (-1, 2, 37, 3), (0, 1, 1 + 1, 1)],
)
def test_slice(dim: int, start: int, end: int, step: int) -> None:
    check(
        SLICE, plain_operands=("x",), x=torch.randn(3, 9, 201, 40),
        dim=dim, start=start, end=end, step=step,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("size", "shape"),
    [((1, 1, 37), [3, 5, 37]), ((4, 1), [2, 4, 150]), ((1,), [1, 1]), ((3, 1, 5), [3, 9, 5])],
)
def test_expand(size: tuple[int, ...], shape: list[int]) -> None:
    check(EXPAND, plain_operands=("x",), x=torch.randn(size), shape=shape)


def test_moves_integers_as_they_are() -> None:
    check(PERMUTE, x=torch.randint(-(2**40), 2**40, (2, 19, 33)), dims=[0, 2, 1])


def test_refuses_empty_results_and_odd_types() -> None:
    empty = op_call("slice", x=torch.zeros(3, 4), dim=0, start=2, end=2, step=1)
    assert SLICE.shape_of(empty) == "the result is empty"
    odd = op_call("permute", x=torch.zeros(3, 4, dtype=torch.complex64), dims=[1, 0])
    reason = PERMUTE.shape_of(odd)
    assert isinstance(reason, str) and "complex64" in reason
