import numpy as np
import pytest
import torch

from efcompile.kernels.binary import CODE, KERNEL
from efcompile.ops.elementwise import BINARY
from tests.kernels.harness import HOST, check, op_call, reference, run_built

SHAPES = [
    ((2, 7, 37), (2, 7, 37)),
    ((2, 7, 37), (37,)),
    ((2, 5, 6, 19), (2, 1, 1, 19)),
    ((3, 11), ()),
    ((1,), (2, 3)),
    ((2, 1, 5, 3), (1, 4, 5, 1)),
    ((2, 40, 200), (40, 1)),
]


def nonzero(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.rand(shape) + 0.5


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    check(KERNEL, plain_operands=("a", "b"), a=nonzero(a), b=nonzero(b), kind="sub")


@pytest.mark.parametrize("kind", sorted(BINARY))
def test_kinds_with_special_values(kind: str) -> None:
    values = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, 1.5, -2.0])
    a, b = values.repeat_interleave(6), values.repeat(6)
    got = run_built(KERNEL, op_call("binary", a=a, b=b, kind=kind), {"a": a, "b": b}, HOST)
    np.testing.assert_array_equal(got, reference("binary", a=a, b=b, kind=kind).numpy())


@pytest.mark.parametrize("kind", sorted(BINARY))
def test_constant_operand_and_activation(kind: str) -> None:
    torch.manual_seed(0)
    a, b = torch.randn(3, 21), nonzero((21,))
    operands = ("a", "b")
    check(KERNEL, constants=("b",), plain_operands=operands, a=a, b=b, kind=kind, act="hardswish")


def test_every_kind_has_code() -> None:
    assert set(CODE) == set(BINARY)


def test_refuses_integers() -> None:
    call = op_call("binary", a=torch.ones(3, dtype=torch.int64), b=torch.ones(3), kind="add")
    reason = KERNEL.shape_of(call)
    assert isinstance(reason, str) and "int64" in reason
