"""FFNs whose middle rows are activated beside products; `test_ffn_panels` has the others."""

from dataclasses import replace
from typing import Any

import pytest

from efcompile.kernels.ffn import KERNEL
from efcompile.kernels.ffn_late import is_late
from efcompile.kernels.ffn_shape import CONSTANTS, Shape
from efcompile.kernels.ffn_space import default_knobs, legal
from efcompile.kernels.register_tile import Tile
from efcompile.kernels.stencil import Axis
from tests.kernels.harness import HOST, assert_close, op_call, reference, run_built
from tests.kernels.test_ffn import ffn_args

AVX512 = replace(
    HOST, name="avx512", cpu="x86-64-v4", features=("avx512f",), vector_bits=512, registers=32
)

AXIS = Axis(28, 3, 1, 1)
SHAPE = Shape(1, 8, 64, 8, AXIS, AXIS, True, True, True, True, "gelu", "gelu")
TILE = Tile(7, 2, 16, 4, False)


def test_rows_are_late_where_a_hidden_row_of_many_low_tiles_follows() -> None:
    assert is_late(SHAPE, TILE)


@pytest.mark.parametrize(
    ("shape", "tile"),
    [
        (replace(SHAPE, act1="relu"), TILE),
        (replace(SHAPE, act2="relu"), TILE),
        (replace(SHAPE, down=Axis(28, 3, 2, 1)), TILE),
        (replace(SHAPE, across=Axis(28, 3, 1, 0)), TILE),
        (replace(SHAPE, across=Axis(14, 3, 1, 1)), TILE),
        (SHAPE, replace(TILE, rows=14)),
        (SHAPE, replace(TILE, lanes=8)),
    ],
)
def test_other_rows_are_not_late(shape: Shape, tile: Tile) -> None:
    assert not is_late(shape, tile)


@pytest.mark.skipif(HOST.arch != "x86_64", reason="panels are for x86-64")
@pytest.mark.parametrize("depth", [32, 48, 80])
def test_products_with_few_elements_of_k_have_tiles_for_late_rows(depth: int) -> None:
    target = replace(AVX512, cores=1)
    shape = replace(SHAPE, k=depth, c=4 * depth, n=depth)
    knobs = default_knobs(shape, target)
    assert knobs.by_panels and not knobs.strassen
    assert is_late(shape, knobs.up)
    assert legal(shape, target, knobs)
    # Sums of the stencil, taps, an input, and the constants of GELU's table.
    assert knobs.pixels + 3 + 1 + 11 <= target.registers


@pytest.mark.skipif(HOST.lanes != 16, reason="rows are late with vectors of 16")
@pytest.mark.parametrize("rows", [1, 3, 9])
@pytest.mark.parametrize("vectors", [1, 2])
@pytest.mark.parametrize(
    "change",
    [
        {"act1": "gelu", "act2": "gelu", "image": (9, 17)},
        {"act1": "gelu", "act2": "silu", "kernel": 5, "image": (9, 13), "padding": [2, 2]},
        {"act1": "gelu", "act2": "gelu", "image": (11, 12), "padding": [0, 1]},
    ],
)
def test_late_rows(change: dict[str, Any], vectors: int, rows: int) -> None:
    args = ffn_args(**change)
    call = op_call("ffn", CONSTANTS, **args)
    shape = KERNEL.shape_of(call)
    assert isinstance(shape, Shape)
    usual = KERNEL.default_knobs(shape, HOST)
    up = replace(usual.up, rows=3, vectors=vectors)
    assert is_late(shape, up)
    knobs = replace(usual, up=up, rows=rows, by_panels=True, strassen=False)
    for pieces in (1, 4):
        got = run_built(KERNEL, call, args, HOST, knobs, pieces)
        assert_close(got, reference("ffn", **args).numpy())
