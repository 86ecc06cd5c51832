from typing import Any

import numpy as np
import pytest
import torch

from efcompile.kernels.pool import AVG, MAX
from tests.kernels.harness import check, op_call, reference, run_built

X = torch.randn(2, 9, 11, 37, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "ceil_mode"),
    [
        ((3, 3), (2, 2), (1, 1), True),
        ((2, 3), (2, 1), (0, 1), False),
        ((9, 11), (1, 1), (0, 0), False),
        ((7, 5), (3, 2), (3, 2), True),
    ],
)
def test_average(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    ceil_mode: bool,
    counted: bool,
) -> None:
    check(
        AVG, plain_operands=("x",), x=X, kernel=kernel, stride=stride, padding=padding,
        ceil_mode=ceil_mode, count_include_pad=counted,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "ceil_mode"),
    [
        ((3, 3), (2, 2), (1, 1), (1, 1), False),
        ((3, 2), (1, 3), (1, 1), (2, 3), True),
        ((2, 2), (2, 2), (0, 0), (1, 1), True),
    ],
)
def test_maximum(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    ceil_mode: bool,
) -> None:
    check(
        MAX, plain_operands=("x",), x=X, kernel=kernel, stride=stride, padding=padding,
        dilation=dilation, ceil_mode=ceil_mode,
    )  # fmt: skip


def test_nan_and_infinity_go_through() -> None:
    x = torch.randn(1, 7, 7, 20)
    x[0, 0, 1, 3] = x[0, 3, 3, 17] = float("nan")
    x[0, 5, 5, :4] = float("inf")
    x[0, :, :, 5] = float("-inf")
    window: dict[str, Any] = {
        "kernel": (3, 3),
        "stride": (1, 1),
        "padding": (1, 1),
        "ceil_mode": False,
    }
    options: list[dict[str, Any]] = [{"count_include_pad": True}, {"dilation": (1, 1)}]
    for pool, rest in zip((AVG, MAX), options, strict=True):
        args = {"x": x, **window, **rest}
        got = run_built(pool, op_call(pool.op, **args), args)
        np.testing.assert_allclose(got, reference(pool.op, **args).numpy(), rtol=1e-5, atol=1e-6)


def test_refusals() -> None:
    args: dict[str, Any] = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0)}
    args |= {"dilation": (1, 1), "ceil_mode": False}
    assert "float64" in MAX.shape_of(op_call("max_pool2d", x=X.double(), **args))
    assert "empty" in MAX.shape_of(op_call("max_pool2d", x=X[:0], **args))
