from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from efcompile.kernels.pool_linear import KERNEL
from tests.kernels.harness import HOST, TARGETS, assert_close, check, op_call, reference, run_built

CASES = [
    ((1, 7, 7, 45), 1000, "none"),
    ((2, 7, 7, 150), 301, "before"),
    ((3, 5, 20), 10, "after"),
    ((1, 90, 7), 3, "before"),
]


@pytest.mark.parametrize(("size", "n", "norm"), CASES)
def test_matches_reference(size: tuple[int, ...], n: int, norm: str) -> None:
    torch.manual_seed(0)
    check(
        KERNEL,
        constants=("weight", "bias"),
        plain_operands=("x", "weight", "bias"),
        x=2 * torch.randn(size) + 1,
        weight=torch.randn(n, size[-1]),
        bias=torch.randn(n) if n % 2 else None,
        norm=norm,
        eps=1e-5,
    )


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: str(t.lanes))
@pytest.mark.parametrize("norm", ["none", "before"])
def test_tasks_of_several_images_and_panels(target: Any, norm: str) -> None:
    torch.manual_seed(0)
    args: dict[str, Any] = {
        "x": torch.randn(29, 3, 3, 21) + 1,
        "weight": torch.randn(307, 21),
        "bias": torch.randn(307),
        "norm": norm,
        "eps": 1e-5,
    }
    call = op_call("pool_linear", ("weight", "bias"), **args)
    shape = KERNEL.shape_of(call)
    knobs = replace(KERNEL.default_knobs(shape, target), task_panels=1, task_row_tiles=2)
    wanted = reference("pool_linear", **args).numpy()
    for pieces in (1, 7):
        assert_close(run_built(KERNEL, call, args, target, knobs, pieces), wanted)


def test_knobs_share_out_the_panels_of_one_image() -> None:
    x, weight = torch.ones(1, 7, 7, 48), torch.ones(1000, 48)
    call = op_call("pool_linear", ("weight",), x=x, weight=weight, bias=None, norm="none", eps=0.0)
    shape = KERNEL.shape_of(call)
    target = replace(HOST, cores=4)
    assert KERNEL.build("k", shape, target, KERNEL.default_knobs(shape, target)).tasks > 1
    # Ten classes are not worth pooling again in every thread.
    few = replace(shape, n=10)
    assert KERNEL.build("k", few, target, KERNEL.default_knobs(few, target)).tasks == 1


@pytest.mark.parametrize("norm", ["none", "before", "after"])
def test_nan_stays_in_its_image(norm: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 3, 20)
    x[1, 1, 1, 4] = float("nan")
    args: dict[str, Any] = {"x": x, "weight": torch.randn(7, 20), "bias": None}
    args |= {"norm": norm, "eps": 1e-5}
    got = run_built(KERNEL, op_call("pool_linear", ("weight",), **args), args, HOST)
    wanted = reference("pool_linear", **args).numpy()
    np.testing.assert_allclose(got, wanted, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize(
    ("constants", "double", "why"),
    [((), False, "weight"), (("weight",), False, "bias"), (("weight", "bias"), True, "float64")],
)
def test_refusals(constants: tuple[str, ...], double: bool, why: str) -> None:
    tensors = {"x": torch.ones(1, 4, 3), "weight": torch.ones(5, 3), "bias": torch.ones(5)}
    if double:
        tensors = {name: tensor.double() for name, tensor in tensors.items()}
    call = op_call("pool_linear", constants, **tensors, norm="none", eps=1e-5)
    reason = KERNEL.shape_of(call)
    assert isinstance(reason, str) and why in reason
