from dataclasses import replace

import numpy as np
import pytest
import torch

from efcompile.kernels import attention, attention_mixed
from efcompile.kernels.attention_shape import Shape, shape_of
from efcompile.kernels.relative_bias import Relative, find_relative, pack_tables
from efcompile.targets.target import Target
from tests.kernels.attention_cases import NOTHING, OPERANDS, Case
from tests.kernels.harness import check, on_every_target, op_call

GRIDS = [
    Relative(7, 7, 7, 7, 1),
    Relative(6, 10, 3, 5, 2),
    Relative(5, 9, 3, 5, 2),
    Relative(3, 17, 3, 17, 1),
]


def bias_of(grid: Relative, heads: int, seed: int = 0) -> np.ndarray:
    table = np.random.default_rng(seed).standard_normal((heads, grid.floats)).astype(np.float32)
    return table[None, :, grid.index()]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_finds_a_grid_and_its_table(grid: Relative) -> None:
    bias = bias_of(grid, 3)
    assert find_relative(bias) == grid
    packed = pack_tables(bias, grid, 8)
    assert packed.shape == (3 * grid.floats + 8,)
    assert (packed[: 3 * grid.floats].reshape(3, -1)[:, grid.index()] == bias[0]).all()


def test_index_is_the_distance() -> None:
    grid = Relative(6, 10, 3, 5, 2)
    assert grid.table == (10, 18)
    qy, qx, ky, kx = 1, 3, 4, 2
    down, across = ky - 2 * qy + 2 * 2, kx - 2 * qx + 2 * 4
    assert grid.index()[qy * 5 + qx, ky * 10 + kx] == down * 18 + across


def test_one_other_element_and_it_is_not_relative() -> None:
    bias = bias_of(GRIDS[0], 2)
    bias[0, 1, 30, 4] += 1
    assert find_relative(bias) is None


@pytest.mark.parametrize("size", [(2, 1, 49, 49), (1, 2, 1, 49), (1, 2, 4, 4)])
def test_others_are_read_as_they_are(size: tuple[int, ...]) -> None:
    assert find_relative(np.zeros(size, np.float32)) is None


def case_of(grid: Relative, heads: int) -> Case:
    queries, keys = grid.query_rows * grid.query_columns, grid.rows * grid.columns
    return Case(heads=heads, queries=queries, keys=keys, layout="separate")


@on_every_target
@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("mixed", [False, True])
def test_kernels_read_the_table(grid: Relative, mixed: bool, target: Target) -> None:
    args = {**NOTHING, **case_of(grid, 2).args(), "bias": torch.from_numpy(bias_of(grid, 2))}
    kernel, constants = attention.KERNEL, ("bias", "mix1")
    if mixed:
        kernel, args["mix1"] = attention_mixed.KERNEL, torch.randn(2, 2)
    shape = shape_of(op_call("attention", constants, **args))
    assert isinstance(shape, Shape) and shape.relative == grid
    check(kernel, constants, OPERANDS, targets=[target], **args)


def test_one_bias_for_all_heads_after_the_second_mix() -> None:
    grid = GRIDS[1]
    args = {**NOTHING, **case_of(grid, 3).args(), "bias": torch.from_numpy(bias_of(grid, 1))}
    check(attention.KERNEL, ("bias",), **args)
    args["mix2"] = torch.randn(3, 3)
    check(attention_mixed.KERNEL, ("bias", "mix2"), **args)


def test_infinite_biases_stay() -> None:
    grid = GRIDS[0]
    bias = bias_of(grid, 2)
    bias[bias > 1.5] = -np.inf
    args = {**NOTHING, **case_of(grid, 2).args(), "bias": torch.from_numpy(bias)}
    check(attention.KERNEL, ("bias",), **args)


def test_shapes_differ_where_tables_do() -> None:

    args = {**NOTHING, **case_of(GRIDS[0], 2).args()}
    args["bias"] = torch.from_numpy(bias_of(GRIDS[0], 2))
    shape = shape_of(op_call("attention", ("bias",), **args))
    assert isinstance(shape, Shape)
    assert replace(shape, relative=None) != shape
