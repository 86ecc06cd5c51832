from typing import Any

import numpy as np
import pytest
import torch

from efcompile.kernels.pad import KERNEL
from tests.kernels.harness import check, op_call, reference, run_built


@pytest.mark.parametrize(
    ("size", "pads", "value"),
    [
        ((2, 5, 6, 19), [0, 0, 1, 2, 3, 0], 0.0),
        ((2, 3, 5, 70), [3, 1, 1, 1], -2.0),
        ((4, 33), [0, 0, 1, 0], 1.5),
        ((7,), [2, 3], 0.25),
        ((2, 3, 4), [0, 0], 0.0),
    ],
)
def test_matches_reference(size: tuple[int, ...], pads: list[int], value: float) -> None:
    check(KERNEL, plain_operands=("x",), x=torch.randn(size), pads=pads, value=value)


@pytest.mark.parametrize("value", [float("-inf"), float("inf"), float("nan")])
def test_pads_with_infinity_and_nan(value: float) -> None:
    args: dict[str, Any] = {"x": torch.randn(2, 3, 5), "pads": [1, 1, 0, 2], "value": value}
    got = run_built(KERNEL, op_call("pad", **args), args)
    np.testing.assert_array_equal(got, reference("pad", **args).numpy())


def test_refusals() -> None:
    def reason(x: torch.Tensor, pads: list[int]) -> str:
        shape = KERNEL.shape_of(op_call("pad", x=x, pads=pads, value=0.0))
        assert isinstance(shape, str)
        return shape

    assert "negative" in reason(torch.zeros(3, 4), [-1, 1])
    assert "int64" in reason(torch.zeros(3, 4, dtype=torch.int64), [1, 1])
    assert "empty" in reason(torch.zeros(0, 4), [1, 1])
