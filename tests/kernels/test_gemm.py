from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from efcompile.kernels.gemm import KERNEL, Shape
from efcompile.targets.resolve import resolve
from tests.kernels.emulated import ARM64
from tests.kernels.harness import (
    HOST,
    TARGETS,
    assert_close,
    check,
    op_call,
    reference,
    run_built,
)


@pytest.mark.parametrize(("m", "n", "k"), [(49, 40, 24), (13, 37, 7), (196, 96, 33), (1, 1000, 48)])
@pytest.mark.parametrize("act", ["none", "relu"])
def test_matches_reference(m: int, n: int, k: int, act: str) -> None:
    torch.manual_seed(0)
    check(
        KERNEL,
        constants=("weight", "bias"),
        plain_operands=("x", "weight", "bias", "residual"),
        x=torch.randn(1, m, k),
        weight=torch.randn(n, k),
        bias=torch.randn(n),
        residual=torch.randn(1, m, n),
        act=act,
    )


def test_without_bias_or_residual() -> None:
    torch.manual_seed(0)
    check(KERNEL, constants=("weight",), x=torch.randn(2, 5, 9, 12), weight=torch.randn(17, 12))


@pytest.mark.parametrize(("row_tiles", "panels"), [(1, 2), (6, 1), (2, 6)])
@pytest.mark.parametrize("act", ["none", "gelu"])
def test_on_neon_rows_lie_side_by_side(row_tiles: int, panels: int, act: str) -> None:
    torch.manual_seed(0)
    args: dict[str, Any] = {"x": torch.randn(1, 45, 20), "weight": torch.randn(77, 20), "act": act}
    call = op_call("linear", ("weight",), **args)
    shape = KERNEL.shape_of(call)
    assert isinstance(shape, Shape)
    knobs = KERNEL.default_knobs(shape, ARM64)
    assert knobs.side_by_side and not KERNEL.default_knobs(shape, HOST).side_by_side
    assert not knobs.prefetch and KERNEL.default_knobs(shape, HOST).prefetch
    knobs = replace(knobs, task_row_tiles=row_tiles, task_panels=panels)
    for pieces in (1, 3):
        got = run_built(KERNEL, call, args, ARM64, knobs, pieces)
        assert_close(got, reference("linear", **args).numpy())


@pytest.mark.parametrize(("m", "n", "k"), [(49, 448, 1792), (196, 96, 1024), (49, 176, 1024)])
def test_on_neon_one_operand_is_small_enough_to_be_met_once(m: int, n: int, k: int) -> None:
    knobs = KERNEL.default_knobs(Shape(1, m, n, k, True, True, "none"), ARM64)
    row_tiles, panels = m // knobs.tile.rows, n // knobs.tile.panel
    assert knobs.side_by_side
    assert knobs.task_row_tiles == row_tiles or knobs.task_panels == panels


def test_an_order_is_a_choice_where_there_are_groups_and_blocks() -> None:
    shape = Shape(1, 196, 640, 96, True, False, "none")
    knobs = KERNEL.default_knobs(shape, HOST)
    row_tiles, panels = shape.m // knobs.tile.rows, shape.n // knobs.tile.panel
    cut = replace(knobs, task_row_tiles=-(-row_tiles // 3), task_panels=-(-panels // 3))
    assert KERNEL.legal(shape, HOST, replace(cut, rows_stay=True))
    for one in (
        replace(cut, task_row_tiles=-(-row_tiles // 8), task_panels=panels),
        replace(cut, task_row_tiles=row_tiles, task_panels=1),
    ):
        assert KERNEL.legal(shape, HOST, one)
        assert not KERNEL.legal(shape, HOST, replace(one, rows_stay=True))


@pytest.mark.parametrize("side_by_side", [False, True])
def test_rows_stay_while_panels_go_by(side_by_side: bool) -> None:
    torch.manual_seed(0)
    args: dict[str, Any] = {"x": torch.randn(1, 45, 20), "weight": torch.randn(77, 20)}
    call = op_call("linear", ("weight",), **args)
    target = ARM64 if side_by_side else HOST
    knobs = KERNEL.default_knobs(KERNEL.shape_of(call), target)
    tile = replace(knobs.tile, rows=5, vectors=2)
    cut = replace(
        knobs, tile=tile, task_row_tiles=2, task_panels=1, rows_stay=True, side_by_side=side_by_side
    )
    for pieces in (1, 3):
        got = run_built(KERNEL, call, args, target, cut, pieces)
        assert_close(got, reference("linear", **args).numpy())


@pytest.mark.parametrize(
    ("row_tiles", "rows_stay", "chained"), [(9, False, True), (2, True, True), (2, False, False)]
)
def test_sums_of_rows_are_made_once_where_they_can_stay(
    row_tiles: int, rows_stay: bool, chained: bool
) -> None:
    torch.manual_seed(0)
    args: dict[str, Any] = {"x": torch.randn(1, 45, 20), "weight": torch.randn(77, 20)}
    call = op_call("linear", ("weight",), **args)
    shape = KERNEL.shape_of(call)
    knobs = KERNEL.default_knobs(shape, HOST)
    tile = replace(knobs.tile, rows=5, vectors=2, pairs=True)
    cut = replace(knobs, tile=tile, task_row_tiles=row_tiles, task_panels=1, rows_stay=rows_stay)
    assert KERNEL.build("k", shape, HOST, cut).chained == chained
    # Ranges of tasks that begin in the middle of a block have to make theirs.
    for pieces in (1, 3, 4):
        got = run_built(KERNEL, call, args, HOST, cut, pieces)
        assert_close(got, reference("linear", **args).numpy())


def test_refuses_a_weight_that_is_not_constant() -> None:
    reason = KERNEL.shape_of(op_call("linear", x=torch.randn(3, 4), weight=torch.randn(5, 4)))
    assert isinstance(reason, str) and "weight" in reason


def large(images: int, rows: int, act: str = "gelu") -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "x": torch.randn(images, rows, 514),
        "weight": torch.randn(1030, 514) / 23,
        "bias": torch.randn(1030),
        "residual": torch.randn(images, rows, 1030),
        "act": act,
    }


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize(("images", "rows"), [(2, 49), (1, 196), (2, 57)])
def test_large_products_are_cut_into_quarters(images: int, rows: int, cores: int) -> None:
    args = large(images, rows)
    constants = ("weight", "bias")
    for target in TARGETS:
        some = replace(target, cores=cores, l1_bytes=48 << 10, l2_bytes=1 << 20)
        shape = KERNEL.shape_of(op_call("linear", constants, **args))
        knobs = KERNEL.default_knobs(shape, some)
        assert knobs.strassen == (target.arch == "x86_64")
        assert KERNEL.legal(shape, some, knobs)
        assert KERNEL.build("k", shape, some, knobs).tasks >= cores
        check(KERNEL, constants=constants, targets=[some], **args)


def test_images_stay_apart() -> None:
    args = large(2, 49)
    args["x"][1, 5] = torch.nan
    call = op_call("linear", ("weight", "bias"), **args)
    target = replace(HOST, l1_bytes=48 << 10, l2_bytes=1 << 20)
    assert KERNEL.default_knobs(KERNEL.shape_of(call), target).strassen == HOST.strassen
    out = run_built(KERNEL, call, args, target)
    assert np.isfinite(out[0]).all() and np.isnan(out[1, 5]).all()


def test_rows_of_a_matrix_are_images() -> None:
    args = {"x": torch.randn(96, 514), "weight": torch.randn(1030, 514)}
    shape = KERNEL.shape_of(op_call("linear", ("weight",), **args))
    assert shape.images == 96 and not KERNEL.default_knobs(shape, HOST).strassen


def test_small_products_stay_whole() -> None:
    target = replace(HOST, l1_bytes=48 << 10, l2_bytes=1 << 20)
    for m, n, k in ((196, 96, 1024), (1024, 96, 96), (16, 1024, 512), (49, 449, 448)):
        shape = Shape(1, m, n, k, True, True, "none")
        assert not KERNEL.default_knobs(shape, target).strassen


@pytest.mark.parametrize(
    ("m", "n", "k", "cores", "blocks", "groups"),
    [
        (49, 448, 1024, 1, 1, 1),  # all rows stay in L2
        (49, 1536, 176, 2, 1, 8),  # cores share the panels
        (196, 96, 1024, 2, 2, 3),  # too few panels for that
        (3136, 96, 1024, 1, 25, 1),  # 512 KB of rows a block
    ],
)
def test_weights_asked_into_l2_meet_tall_blocks(
    m: int, n: int, k: int, cores: int, blocks: int, groups: int
) -> None:
    xeon = resolve("x86_64-linux-gnu", cpu="sapphirerapids", compact=True)
    target = replace(xeon, ask_l2=True, cores=cores)
    shape = Shape(1, m, n, k, bias=True, residual=True, act="none")
    knobs = KERNEL.default_knobs(shape, target)
    rows, panels = m // knobs.tile.rows, n // knobs.tile.panel
    found = -(-rows // knobs.task_row_tiles), -(-panels // knobs.task_panels)
    assert found == (blocks, groups)
    assert KERNEL.legal(shape, target, knobs)


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize(("m", "n", "k"), [(49, 300, 64), (16, 144, 40), (197, 50, 33)])
def test_tall_blocks_match_the_reference(m: int, n: int, k: int, cores: int) -> None:
    torch.manual_seed(0)
    target = replace(HOST, strassen=False, ask_l2=True, cores=cores)
    args: dict[str, Any] = {
        "x": torch.randn(1, m, k), "weight": torch.randn(n, k), "bias": torch.randn(n),
        "residual": torch.randn(1, m, n),
    }  # fmt: skip
    call = op_call("linear", ("weight", "bias"), **args)
    for pieces in (1, 3):
        got = run_built(KERNEL, call, args, target, pieces=pieces)
        assert_close(got, reference("linear", **args).numpy())
