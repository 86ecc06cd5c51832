from dataclasses import replace

import numpy as np
import pytest
import torch

from efcompile.kernels.attention_block import Block, each_block
from efcompile.kernels.attention_mixed import KERNEL
from efcompile.kernels.emit import Emitter
from tests.kernels.attention_cases import NOTHING, Case
from tests.kernels.harness import HOST, assert_close, op_call, reference, run_built


def blocks(queries: int, rows: int, heights: tuple[int, ...]) -> list[Block]:
    """What code is emitted for."""
    e, made = Emitter(), list[Block]()
    each_block(e, queries, rows, e.integer("block"), made.append, heights)
    return made


@pytest.mark.parametrize(
    ("queries", "rows", "heights", "codes"),
    [
        (49, 49, (), 1),
        (49, 7, (), 1),
        (49, 28, (), 2),
        (49, 28, (14, 7), 1),
        (49, 28, (14, 8), 2),
    ],
)
def test_as_little_code_as_can_be(
    queries: int, rows: int, heights: tuple[int, ...], codes: int
) -> None:
    assert len(blocks(queries, rows, heights)) == codes


def test_what_run_time_decides_ends_where_the_last_block_does() -> None:
    (block,) = blocks(49, 28, (14, 14))
    assert not isinstance(block.rows, int)
    rows, tiles = block.tiles(Emitter(), 14)
    assert rows == 21 and not isinstance(tiles.count, int)


@pytest.mark.parametrize("height", [2, 3, 5, 6])
def test_blocks_share_code_or_not(height: int) -> None:
    case = Case(heads=3, queries=16, keys=11, layout="separate")
    args = {**NOTHING, **case.args(), "bias": torch.randn(1, 3, 16, 11)}
    args["mix1"], args["mix2"] = torch.randn(2, 3, 3)
    call = op_call("attention", ("mix1", "mix2", "bias"), **args)
    knobs = KERNEL.default_knobs(KERNEL.shape_of(call), HOST)
    scores, values = (replace(tile, rows=height) for tile in (knobs.scores, knobs.values))
    knobs = replace(knobs, scores=scores, values=values, task_queries=6)
    wanted = reference("attention", **args).numpy()
    for pieces in (1, 3):
        assert_close(run_built(KERNEL, call, args, HOST, knobs, pieces), wanted)
    assert np.isfinite(wanted).all()
