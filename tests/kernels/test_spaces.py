from dataclasses import replace
from typing import Any

import pytest

from efcompile.kernels import spaces
from efcompile.kernels.register_tile import Tile, choose_tile, in_registers
from efcompile.kernels.stencil import Axis, choose_pixels
from efcompile.targets.target import Target
from tests.kernels.emulated import ARM64
from tests.kernels.harness import AVX2, HOST

TARGETS = pytest.mark.parametrize("target", [HOST, AVX2, ARM64], ids=lambda t: str(t.name))
SIZES = pytest.mark.parametrize(("m", "n"), [(3136, 192), (49, 448), (1, 1000), (13, 5)])


@TARGETS
@SIZES
def test_the_chosen_tile_is_legal_and_among_the_choices(m: int, n: int, target: Target) -> None:
    for depth in (None, 9, 448):
        assert spaces.tile_legal(choose_tile(m, n, target, depth), m, n, target, depth)
    values = spaces.tile_choices("tile", m, n, target)
    best = choose_tile(m, n, target)
    assert best.rows in values["tile.rows"] and best.vectors in values["tile.vectors"]


@TARGETS
def test_tiles_that_do_not_fit_are_refused(target: Target) -> None:
    tile = choose_tile(49, 448, target)

    def legal(m: int = 49, n: int = 448, **change: Any) -> bool:
        return spaces.tile_legal(replace(tile, **change), m, n, target, 64)

    assert legal()
    assert not legal(rows=0) and not legal(vectors=0) and not legal(unroll=0)
    assert not legal(rows=tile.rows + target.registers)
    assert not legal(lanes=tile.lanes // 2)
    assert not legal(lane_a=not tile.lane_a)
    assert not legal(m=tile.rows - 1)
    assert not legal(n=1, vectors=2)
    assert not legal(m=0)
    # It fits, but a sum a tile leaves the multiply-add pipes idle.
    assert in_registers(1, 1, target) and not legal(rows=1, vectors=1)


def test_rows_side_by_side_are_for_neon_and_whole_vectors() -> None:
    neon, x86 = Tile(7, 3, 4, 16, True), Tile(9, 3, 16, 4, False)
    assert spaces.aside_legal(neon, 48, 192) and not spaces.aside_legal(neon, 48, 190)
    assert not spaces.aside_legal(x86, 48)
    assert not spaces.aside_legal(replace(neon, unroll=6), 48)
    # Where rows are not, unrolling is capped, and weights are not asked for.
    assert spaces.unroll_legal(neon, False) and spaces.unroll_legal(replace(neon, unroll=8), True)
    assert not spaces.unroll_legal(replace(neon, unroll=8), False)
    assert spaces.unroll_legal(replace(x86, unroll=8), False)
    assert spaces.prefetch_legal(True, False, 49, 448, neon, side_by_side=True)
    assert not spaces.prefetch_legal(True, False, 49, 448, neon)


def test_prefetch_is_a_choice_where_there_is_a_next_panel() -> None:
    tile = choose_tile(49, 448, HOST)
    assert spaces.prefetch_legal(False, True, 49, 448, tile)
    assert not spaces.prefetch_legal(False, True, 49, tile.panel, tile)
    assert not spaces.prefetch_legal(False, True, 100_000, 448, tile)
    assert spaces.prefetch_legal(True, True, 49, tile.panel, tile)


@TARGETS
def test_pixels_stay_in_registers(target: Target) -> None:
    axis = Axis(56, 3, 1, 1)
    values = spaces.pixel_choices(axis, target.registers)
    assert choose_pixels(axis, target.registers) in values
    assert all(spaces.pixels_legal(pixels, axis, target.registers) for pixels in values)
    for pixels in (0, 1, target.registers, 57):
        assert not spaces.pixels_legal(pixels, axis, target.registers)


def test_sizes_are_even_divisions_around_the_default() -> None:
    assert spaces.sizes(48, 12) == (3, 4, 6, 8, 12, 16, 24, 48)
    assert spaces.sizes(7, 5) == (2, 3, 4, 5, 7)
    assert spaces.sizes(0, 1) == (1,)


def test_every_core_keeps_its_share() -> None:
    two = replace(HOST, cores=2)
    assert spaces.tasks_legal(4, 300, two) and not spaces.tasks_legal(3, 300, two)
    assert spaces.tasks_legal(2, 2, two) and not spaces.tasks_legal(1, 2, two)


def test_scratch_stays_in_l2_or_below_the_default() -> None:
    assert spaces.scratch_legal(HOST.l2_bytes, 0, HOST)
    assert not spaces.scratch_legal(HOST.l2_bytes + 1, 0, HOST)
    assert spaces.scratch_legal(HOST.l2_bytes + 1, HOST.l2_bytes + 1, HOST)
