from dataclasses import replace
from typing import Any

import pytest
import torch

from efcompile.kernels.gemm import KERNEL, Shape
from tests.kernels.emulated import ARM64
from tests.kernels.harness import HOST, assert_close, check, op_call, reference, run_built


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
    knobs = KERNEL.default_knobs(Shape(m, n, k, True, True, "none"), ARM64)
    row_tiles, panels = m // knobs.tile.rows, n // knobs.tile.panel
    assert knobs.side_by_side
    assert knobs.task_row_tiles == row_tiles or knobs.task_panels == panels


def test_an_order_is_a_choice_where_there_are_groups_and_blocks() -> None:
    shape = Shape(196, 640, 96, True, False, "none")
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


def test_refuses_a_weight_that_is_not_constant() -> None:
    reason = KERNEL.shape_of(op_call("linear", x=torch.randn(3, 4), weight=torch.randn(5, 4)))
    assert isinstance(reason, str) and "weight" in reason
