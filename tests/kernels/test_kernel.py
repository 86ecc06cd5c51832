import numpy as np
import pytest
import torch

from efcompile.kernels.kernel import contiguous
from tests.kernels.harness import op_call


def test_constants_are_told_from_runtime_operands() -> None:
    call = op_call("linear", ["weight"], x=torch.randn(3, 4), weight=torch.randn(5, 4))
    weight = call.constant("weight")
    assert weight is not None and weight.shape == (5, 4)
    assert call.constant("x") is None and call.constant("bias") is None
    assert call.operand("x").shape == (3, 4) and call.out.shape == (3, 5)
    with pytest.raises(AssertionError, match="bias"):
        call.operand("bias")
    with pytest.raises(AssertionError, match="x is not a constant"):
        call.value("x")
    assert call.present("x", "bias") == ["x"]
    np.testing.assert_array_equal(call.present("bias", "weight")[0], weight)


def test_contiguous_copies_what_is_not() -> None:
    value = np.arange(6, dtype=np.float64).reshape(2, 3).T
    got = contiguous(value)
    assert got.flags.c_contiguous and got.dtype == np.float32
    np.testing.assert_array_equal(got, value)
