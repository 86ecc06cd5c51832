from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from efcompile.kernels.group_norm import KERNEL, Shape
from tests.kernels.harness import HOST, assert_close, check, op_call, reference, run_built


@pytest.mark.parametrize(("groups", "channels"), [(1, 20), (3, 57), (2, 150)])
@pytest.mark.parametrize("affine", [True, False])
def test_matches_reference(groups: int, channels: int, affine: bool) -> None:
    torch.manual_seed(0)
    check(
        KERNEL,
        constants=("weight", "bias"),
        plain_operands=("x", "weight", "bias") if affine else None,
        x=2 * torch.randn(2, 9, 7, channels) + 1,
        groups=groups,
        weight=torch.randn(channels) if affine else None,
        bias=torch.randn(channels) if affine else None,
        eps=1e-5,
    )


@pytest.mark.parametrize("positions", [1, 2, 5, 9])
@pytest.mark.parametrize("pieces", [1, 3])
def test_blocks_share_a_group(positions: int, pieces: int) -> None:
    torch.manual_seed(0)
    args: dict[str, Any] = {
        "x": 2 * torch.randn(2, 3, 3, 10) + 1,
        "groups": 2,
        "weight": torch.randn(10),
        "bias": torch.randn(10),
        "eps": 1e-5,
    }
    call = op_call("group_norm", ("weight", "bias"), **args)
    knobs = replace(KERNEL.default_knobs(KERNEL.shape_of(call), HOST), positions=positions)
    got = run_built(KERNEL, call, args, HOST, knobs, pieces)
    assert_close(got, reference("group_norm", **args).numpy())


@pytest.mark.parametrize(("images", "groups", "positions"), [(1, 1, 13), (1, 3, 25), (4, 1, 49)])
def test_every_core_has_a_block(images: int, groups: int, positions: int) -> None:
    shape = Shape(images, 49, 12, groups, True, True, 1e-5)
    assert KERNEL.default_knobs(shape, replace(HOST, cores=4)).positions == positions


def test_large_mean_loses_no_more_than_eager() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 30, 30, 48) + 1000
    args: dict[str, Any] = {"x": x, "groups": 1, "weight": None, "bias": None, "eps": 1e-5}
    exact = reference("group_norm", **{**args, "x": x.double()}).numpy()
    got = run_built(KERNEL, op_call("group_norm", **args), args, HOST)
    eager = np.abs(reference("group_norm", **args).numpy() - exact).max()
    assert np.abs(got - exact).max() <= 2 * eager


def test_nan_stays_in_its_group() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 4, 6)
    x[0, 1, 1, 4] = float("nan")
    args: dict[str, Any] = {"x": x, "groups": 2, "weight": None, "bias": None, "eps": 1e-5}
    got = run_built(KERNEL, op_call("group_norm", **args), args, HOST)
    wanted = reference("group_norm", **args).numpy()
    np.testing.assert_allclose(got, wanted, atol=1e-5, equal_nan=True)


def test_refuses_other_dtypes() -> None:
    x = torch.randn(1, 3, 3, 4).double()
    call = op_call("group_norm", x=x, groups=2, weight=None, bias=None, eps=1e-5)
    reason = KERNEL.shape_of(call)
    assert isinstance(reason, str) and "float64" in reason
