from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from efcompile.kernels.norm_linear import KERNEL, Shape
from efcompile.targets.target import Target
from tests.kernels.harness import (
    HOST,
    TARGETS,
    assert_close,
    check,
    on_every_target,
    op_call,
    reference,
    run_built,
)


@pytest.mark.parametrize(("m", "n", "k", "act"), [(49, 150, 37, "none"), (5, 17, 64, "gelu")])
@pytest.mark.parametrize("bias", [True, False])
def test_matches_reference(m: int, n: int, k: int, act: str, bias: bool) -> None:
    torch.manual_seed(0)
    check(
        KERNEL,
        constants=("weight", "bias"),
        plain_operands=("x", "weight", "bias"),
        x=2 * torch.randn(2, m, k) + 1,
        weight=torch.randn(n, k),
        bias=torch.randn(n) if bias else None,
        eps=1e-6,
        act=act,
    )


@pytest.mark.parametrize(("act", "blocks"), [("gelu", 1), ("none", 2)])
def test_blocks_are_larger_where_sums_wait_for_an_activation(act: str, blocks: int) -> None:
    target = replace(HOST, cores=1, l2_bytes=1 << 20, strassen=False)
    shape = Shape(1, 197, 1536, 384, True, 1e-6, act)
    knobs = KERNEL.default_knobs(shape, target)
    assert -(-(197 // knobs.tile.rows) // knobs.task_row_tiles) == blocks


@on_every_target
def test_any_split_of_rows_and_panels(target: Target) -> None:
    torch.manual_seed(0)
    args = {
        "x": torch.randn(1, 50, 24),
        "weight": torch.randn(200, 24),
        "bias": torch.randn(200),
        "eps": 1e-5,
        "act": "none",
    }
    call = op_call("norm_linear", ("weight", "bias"), **args)
    knobs = replace(
        KERNEL.default_knobs(KERNEL.shape_of(call), target), task_row_tiles=1, task_panels=1
    )
    for pieces in (1, 2, 5):
        got = run_built(KERNEL, call, args, target, knobs, pieces)
        assert_close(got, reference("norm_linear", **args).numpy())


@pytest.mark.parametrize(
    ("constants", "change", "why"),
    [
        ((), {}, "weight"),
        (("weight",), {"bias": torch.ones(5)}, "bias"),
        (("weight",), {"x": torch.ones(2, 4).double(), "weight": torch.ones(5, 4).double()}, "64"),
    ],
)
def test_refusals(constants: tuple[str, ...], change: dict[str, torch.Tensor], why: str) -> None:
    args = {"x": torch.ones(2, 4), "weight": torch.ones(5, 4), "bias": None, **change}
    reason = KERNEL.shape_of(op_call("norm_linear", constants, eps=1e-5, **args))
    assert isinstance(reason, str) and why in reason


def large(images: int, rows: int) -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "x": 2 * torch.randn(images, rows, 514) + 1,
        "weight": torch.randn(1030, 514) / 23,
        "bias": torch.randn(1030),
        "eps": 1e-6,
        "act": "gelu",
    }


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize(("images", "rows"), [(2, 49), (1, 196)])
def test_large_products_are_cut_into_quarters(images: int, rows: int, cores: int) -> None:
    args = large(images, rows)
    constants = ("weight", "bias")
    for target in TARGETS:
        some = replace(target, cores=cores, l1_bytes=48 << 10, l2_bytes=1 << 20)
        shape = KERNEL.shape_of(op_call("norm_linear", constants, **args))
        knobs = KERNEL.default_knobs(shape, some)
        assert knobs.strassen == (target.arch == "x86_64")
        assert KERNEL.legal(shape, some, knobs)
        check(KERNEL, constants=constants, targets=[some], **args)


def test_images_stay_apart() -> None:
    args = large(2, 49)
    args["x"][1, 5] = torch.nan
    call = op_call("norm_linear", ("weight", "bias"), **args)
    out = run_built(KERNEL, call, args, replace(HOST, l1_bytes=48 << 10, l2_bytes=1 << 20))
    assert np.isfinite(out[0]).all() and np.isnan(out[1, 5]).all()
