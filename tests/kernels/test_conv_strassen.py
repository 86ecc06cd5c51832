"""Convolutions in seven products: windows of every kind, and images that stay apart."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from efcompile.kernels import conv_strassen
from efcompile.kernels.conv_direct import KERNEL
from efcompile.kernels.conv_shape import ConvShape
from efcompile.kernels.conv_space import Knobs
from efcompile.kernels.kernel import Array, OpCall
from efcompile.targets.target import Target
from tests.kernels.harness import HOST, TARGETS, assert_close, op_call, reference, run_built

PLACES = replace(HOST, cores=1, l1_bytes=48 << 10, l2_bytes=1 << 20, strassen=True)
"""Caches of a size that the numbers below are for."""


def conv_args(
    image: tuple[int, ...] = (2, 13, 14, 10),
    filters: int = 70,
    kernel: tuple[int, int] = (3, 3),
    **options: Any,
) -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "x": torch.randn(image),
        "weight": torch.randn(filters, *kernel, image[3]) / (9 * image[3]) ** 0.5,
        "bias": torch.randn(filters),
        "residual": None,
        "stride": [2, 2],
        "padding": [1, 1],
        "dilation": [1, 1],
        "groups": 1,
        "nchw_input": False,
        "act": "relu",
    } | options


def prepared(args: dict[str, Any]) -> tuple[OpCall, ConvShape]:
    call = op_call("conv2d", ("weight", "bias"), **args)
    shape = KERNEL.shape_of(call)
    assert isinstance(shape, ConvShape)
    return call, shape


def run(args: dict[str, Any], target: Target, task_panels: int = 99, rows: int | None = None,
        pieces: int = 1) -> Array:  # fmt: skip
    """In blocks of `rows` output rows, by default all of an image's."""
    call, shape = prepared(args)
    rows = rows or shape.out_height
    tile = conv_strassen.choose_block_tile(shape, rows, target)
    knobs = Knobs(tile, rows, task_panels, prefetch=True, weights_stay=False, strassen=True)
    return run_built(KERNEL, call, args, target, knobs, pieces)


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: str(t.name))
@pytest.mark.parametrize(
    "args",
    [
        {"act": "gelu"},
        {"stride": [1, 1], "bias": None, "image": (1, 7, 7, 34)},
        {"kernel": (5, 3), "stride": [1, 2], "padding": [2, 0]},
        {"stride": [1, 1], "dilation": [2, 3], "padding": [2, 3]},
        {"kernel": (1, 1), "padding": [0, 0]},
        {"kernel": (3, 3), "padding": [3, 4], "image": (3, 5, 3, 2), "filters": 2},
    ],
)
def test_every_window_is_right(args: dict[str, Any], target: Target) -> None:
    made = conv_args(**args)
    assert_close(run(made, target), reference("conv2d", **made).numpy())


@pytest.mark.parametrize("pieces", [1, 3, 4])
def test_blocks_and_shared_panels_with_a_residual(pieces: int) -> None:
    args = conv_args(image=(2, 15, 14, 10), filters=150, residual=torch.randn(2, 8, 7, 150))
    wanted = reference("conv2d", **args).numpy()
    for target in TARGETS:
        for rows in (4, 8):
            assert_close(run(args, target, task_panels=1, rows=rows, pieces=pieces), wanted)


@pytest.mark.parametrize("bad", [0, 1])
def test_images_stay_apart(bad: int) -> None:
    args = conv_args()
    args["x"][bad, 6, 5, 3] = torch.nan
    out = run(args, HOST)
    assert np.isfinite(out[1 - bad]).all()
    assert np.isnan(out[bad, 3, 2:4]).all()


@pytest.mark.parametrize("act", ["none", "gelu"])
def test_large_ones_are_cut_by_default(act: str) -> None:
    args = conv_args(image=(1, 27, 27, 64), filters=160, act=act)
    call, shape = prepared(args)
    knobs = KERNEL.default_knobs(shape, PLACES)
    assert knobs.strassen and KERNEL.legal(shape, PLACES, knobs)
    assert_close(run_built(KERNEL, call, args, PLACES), reference("conv2d", **args).numpy())


def shape_like(**changes: Any) -> ConvShape:
    return replace(
        ConvShape(1, 28, 28, 128, 320, (3, 3), (2, 2), (1, 1), (1, 1), 1, True, False, "relu",
                  nchw=False),
        **changes,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({"channels": 127}, PLACES),
        ({"filters": 321}, PLACES),
        ({"groups": 2}, PLACES),
        ({"nchw": True}, PLACES),
        ({"height": 6, "width": 6}, PLACES),
        ({}, replace(PLACES, strassen=False)),
    ],
)
def test_no_choice_is_offered_where_there_is_none(changes: dict[str, Any], target: Target) -> None:
    assert KERNEL.default_knobs(shape_like(), PLACES).strassen
    shape = shape_like(**changes)
    assert not KERNEL.default_knobs(shape, target).strassen
    assert "strassen" not in KERNEL.choices(shape, target)


def test_small_ones_stay_whole() -> None:
    shape = shape_like(height=112, width=112, channels=24, filters=48)
    assert not KERNEL.default_knobs(shape, PLACES).strassen


@pytest.mark.parametrize("size", [13, 28, 56])
@pytest.mark.parametrize("cores", [1, 2, 3])
def test_every_core_has_work_and_factors_fit(size: int, cores: int) -> None:
    target = replace(PLACES, cores=cores)
    shape = shape_like(height=size, width=size)
    rows = conv_strassen.block_rows(shape, target)
    assert rows is not None and shape.out_height % rows == 0
    knobs = KERNEL.default_knobs(shape, target)
    assert knobs.strassen
    built = KERNEL.build("k", shape, target, knobs)
    assert built.tasks >= cores
    assert built.scratch_bytes <= target.l2_bytes * 5 // 4


def test_weights_take_seven_quarters() -> None:
    args = conv_args(image=(1, 27, 27, 64), filters=160)
    call, shape = prepared(args)
    _, weight, *_ = KERNEL.pack(call, shape, KERNEL.default_knobs(shape, PLACES))
    assert isinstance(weight, np.ndarray) and weight.size * 4 == 7 * args["weight"].numel()
