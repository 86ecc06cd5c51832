from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efcompile.kernels.register_tile import (
    NEON_ROWS,
    choose_tile,
    pack_panels,
    vector_widths,
)
from efcompile.targets.aliases import ALIASES
from efcompile.targets.resolve import resolve


@given(columns=st.integers(0, 300), lanes=st.sampled_from([1, 4, 8, 16]))
def test_vector_widths_cover_the_columns_without_padding(columns: int, lanes: int) -> None:
    widths = vector_widths(columns, lanes)
    assert sum(widths) == columns
    assert list(widths) == sorted(widths, reverse=True)
    assert all(width & (width - 1) == 0 and width <= lanes for width in widths)


def test_panels_are_k_major_and_start_at_column_times_depth() -> None:
    weight = np.arange(7 * 3, dtype=np.float32).reshape(7, 3)
    packed = pack_panels(weight, 4)
    assert packed.shape == (21,)
    np.testing.assert_array_equal(packed[: 4 * 3].reshape(3, 4), weight[:4].T)
    np.testing.assert_array_equal(packed[4 * 3 :].reshape(3, 3), weight[4:].T)


@pytest.mark.parametrize("alias", ["host", *ALIASES])
@pytest.mark.parametrize(("m", "n"), [(1, 1), (3136, 48), (49, 1792), (197, 384), (5, 3)])
def test_chosen_tiles_fit_the_registers(alias: str, m: int, n: int) -> None:
    target = resolve(alias)
    tile = choose_tile(m, n, target)
    operands = tile.rows + tile.vectors if tile.lane_a else tile.vectors + 1
    assert tile.rows * tile.vectors + operands <= target.registers
    assert 1 <= tile.rows <= m
    assert tile.lanes == target.lanes


@pytest.mark.parametrize(("m", "n"), [(49, 448), (196, 896), (3136, 192), (784, 96)])
def test_neon_s_best_tile_leaves_registers_for_its_operands(m: int, n: int) -> None:
    tile = choose_tile(m, n, resolve("arm64"), 448)
    assert (tile.rows, tile.vectors) == (NEON_ROWS, 3)
    assert tile.rows * tile.vectors + tile.rows + tile.vectors <= 32


def test_few_rows_take_few_tiles_where_they_wait_for_weights() -> None:
    target = replace(resolve("x86_64-linux-gnu", cpu="sapphirerapids"), ask_l2=True)
    tile, usual = choose_tile(16, 1024, target, 512), choose_tile(49, 1024, target, 512)
    assert -(-16 // tile.rows) <= 2 and tile.rows * tile.vectors >= 12
    assert usual == replace(choose_tile(49, 1024, replace(target, ask_l2=False), 512), ask_l2=True)
