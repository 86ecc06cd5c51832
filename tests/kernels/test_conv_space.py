"""What the knobs of a convolution make of it; that they are right is `together/test_spaces`'s."""

from dataclasses import replace

import pytest

from efcompile.kernels.conv_direct import KERNEL
from efcompile.kernels.conv_shape import ConvShape
from efcompile.kernels.conv_space import asks_ahead, copied_floats, plan_of
from efcompile.kernels.knobs import with_values
from efcompile.kernels.register_tile import Tile
from efcompile.targets.target import Target
from tests.kernels.harness import HOST

PLACES = replace(HOST, cores=2, l1_bytes=48 << 10, l2_bytes=1 << 20, strassen=True)
WHOLE = replace(PLACES, strassen=False)
"""The same without the choice of quarters."""
SHAPE = ConvShape(
    1, 28, 28, 96, 160, (3, 3), (2, 2), (1, 1), (1, 1), 1, True, False, "relu", nchw=False
)


def test_rows_are_copied_with_their_borders() -> None:
    odd = replace(SHAPE, height=27, width=27)
    assert copied_floats(odd, 1) == 3 * 29 * 96
    assert copied_floats(odd, 7) == 15 * 29 * 96
    for shape in (SHAPE, replace(odd, padding=(0, 0))):
        assert copied_floats(shape, 7) == 0, "nothing is missing right of it or below it"


@pytest.mark.parametrize("target", [PLACES, WHOLE], ids=["quarters", "whole"])
def test_tasks_are_blocks_and_parts(target: Target) -> None:
    knobs = KERNEL.default_knobs(SHAPE, target)
    halves = 2 if knobs.strassen else 1
    for rows, panels in ((7, 1), (14, 2)):
        plan = plan_of(SHAPE, replace(knobs, task_rows=rows, task_panels=panels))
        assert plan.panels == 160 // halves // knobs.tile.panel
        assert plan.parts == -(-plan.panels // panels)
        assert plan.tasks == 14 // rows * plan.parts


def test_weights_are_asked_for_by_low_tiles_or_many() -> None:
    shape = replace(SHAPE, height=14, width=14, channels=48)
    knobs = KERNEL.default_knobs(shape, WHOLE)

    def asks(rows: int, task_rows: int) -> bool:
        tile = Tile(rows, 2, 16, unroll=4, lane_a=False)
        return asks_ahead(shape, WHOLE, replace(knobs, tile=tile, task_rows=task_rows))

    assert asks(7, 7) and asks(7, 1)
    assert not asks(14, 7)
    assert asks(14, 8)
    shape = replace(shape, channels=3)
    assert not asks(7, 4), "L1 holds so few weights"


@pytest.mark.skipif(HOST.arch != "x86_64", reason="vectors of 16 are for x86-64")
def test_quarters_do_not_pay_where_many_taps_are_outside() -> None:
    """7 rows of 7 pixels leave out a tap of 21 each way."""
    small = replace(SHAPE, height=14, width=14, channels=120, filters=224, act="none")
    unpadded = replace(small, padding=(0, 0), height=15, width=15)
    avx512 = replace(PLACES, vector_bits=512, registers=32)
    assert not KERNEL.default_knobs(small, avx512).strassen
    assert KERNEL.default_knobs(unpadded, avx512).strassen


def test_quarters_are_a_choice_where_they_are_possible() -> None:
    assert KERNEL.choices(SHAPE, PLACES)["strassen"] == (0, 1)
    assert "strassen" not in KERNEL.choices(SHAPE, WHOLE)
    default = KERNEL.default_knobs(SHAPE, PLACES)
    assert default.strassen
    assert not KERNEL.legal(SHAPE, WHOLE, default)
    for change in ({"weights_stay": 1}, {"task_rows": 3}, {"task_panels": 9}):
        assert not KERNEL.legal(SHAPE, PLACES, with_values(default, change))
