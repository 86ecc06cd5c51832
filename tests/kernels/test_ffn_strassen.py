"""The FFN in seven products for eight; `test_ffn` has the plain one."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from efcompile.kernels.ffn import KERNEL
from efcompile.kernels.ffn_shape import CONSTANTS, Shape
from efcompile.kernels.ffn_space import Knobs
from efcompile.kernels.ffn_strassen import Scratch, blocks, hidden_rows
from efcompile.kernels.kernel import OpCall
from efcompile.kernels.knobs import with_values
from efcompile.kernels.register_tile import choose_tile
from efcompile.kernels.stencil import Axis
from efcompile.targets.target import Target
from tests.kernels import test_ffn
from tests.kernels.emulated import ARM64
from tests.kernels.harness import (
    HOST,
    TARGETS,
    assert_close,
    op_call,
    reference,
    run_built,
)

pytestmark = pytest.mark.skipif(HOST.arch != "x86_64", reason="for x86-64 alone")

on_x86 = pytest.mark.parametrize("target", TARGETS, ids=lambda t: str(t.name))


ffn_args = partial(test_ffn.ffn_args, image=(7, 7), hidden=54, outputs=22)


def cut_knobs(call: OpCall, target: Target, rows: int, **values: int) -> Knobs:
    """Quarters by blocks of `rows` output rows, whether or not they pay."""
    shape = KERNEL.shape_of(call)
    assert isinstance(shape, Shape) and rows in blocks(shape, target)
    made, result = hidden_rows(shape, rows) * shape.across.size, rows * shape.across.out
    up = choose_tile(-(-made // 2), shape.c // 2, target, shape.k // 2)
    down = choose_tile(-(-result // 2), shape.n // 2, target, shape.c // 2)
    usual = KERNEL.default_knobs(shape, target)
    knobs: Knobs = replace(usual, up=up, down=down, rows=rows, by_panels=True, strassen=True)
    return with_values(knobs, values)


@on_x86
@pytest.mark.parametrize(
    ("rows", "args"),
    [
        (7, {"act1": "gelu", "act2": "gelu", "residual": torch.randn(2, 7, 7, 22)}),
        (7, {"bias1": None, "depthwise_bias": None, "bias2": None}),
        (6, {"image": (6, 9)}),
        (3, {"image": (9, 17), "act1": "gelu"}),
        (2, {"image": (6, 30), "kernel": 5, "act2": "none"}),
        (3, {"image": (8, 22), "padding": [0, 0]}),
        (9, {"image": (7, 9), "padding": [2, 2], "hidden": 2}),
    ],
)
def test_matches_reference(rows: int, args: dict[str, Any], target: Target) -> None:
    args = ffn_args(**args)
    call, wanted = op_call("ffn", CONSTANTS, **args), reference("ffn", **args).numpy()
    for pieces in (1, 2):
        for values in ({}, {"up.vectors": 1, "down.vectors": 1, "prefetch": 0}):
            knobs = cut_knobs(call, target, rows, **values)
            assert_close(run_built(KERNEL, call, args, target, knobs, pieces), wanted)


def test_what_is_not_finite_stays_in_its_image() -> None:
    args = ffn_args()
    args["x"][0, 3, 3, 5] = torch.nan
    call = op_call("ffn", CONSTANTS, **args)
    got = run_built(KERNEL, call, args, knobs=cut_knobs(call, HOST, 7), pieces=1)
    assert np.isnan(got[0]).any()
    assert_close(got[1], reference("ffn", **args).numpy()[1])


def shape_of(size: int, k: int, c: int, batch: int = 1, stride: int = 1) -> Shape:
    axis = Axis(size, 3, stride, 1)
    return Shape(batch, k, c, k, axis, axis, True, True, True, True, "gelu", "gelu")


def test_where_there_is_no_choice() -> None:
    assert blocks(shape_of(7, 176, 704), HOST) == (7,)
    assert blocks(shape_of(7, 176, 703), HOST) == ()
    assert blocks(shape_of(14, 96, 384, stride=2), HOST) == ()
    assert blocks(shape_of(7, 176, 704), ARM64) == ()


def test_blocks_share_rows_of_the_image() -> None:
    shape = shape_of(14, 96, 384)
    assert [hidden_rows(shape, rows) for rows in (14, 7, 2)] == [14, 8, 4]
    tile = choose_tile(49, 192, HOST)
    assert Scratch.of(shape, 7, tile, tile).bytes < Scratch.of(shape, 14, tile, tile).bytes
