import pytest

from efcompile.kernels.attention_parts import (
    Carver,
    copied_query_floats,
    copied_value_floats,
    make_knobs,
    value_pitch,
)
from efcompile.kernels.attention_shape import Shape, shape_of
from efcompile.kernels.emit import Emitter
from efcompile.targets.resolve import resolve
from tests.kernels.attention_cases import NOTHING, Case
from tests.kernels.emulated import ARM64
from tests.kernels.harness import HOST, op_call

AVX2 = resolve("x86_64-linux-gnu", cpu="x86-64-v3")
AVX512 = resolve("x86_64-linux-gnu", cpu="x86-64-v4")


def shape(layout: str) -> Shape:
    made = shape_of(op_call("attention", **NOTHING, **Case(layout=layout).args()))
    assert isinstance(made, Shape)
    return made


@pytest.mark.parametrize(
    ("layout", "wide", "narrow", "queries"),
    [("merged", 0, 13 * 12, 0), ("separate", 0, 0, 0), ("planar", 13 * 12, 13 * 12, 5 * 8)],
)
def test_copies_only_what_is_not_in_place(
    layout: str, wide: int, narrow: int, queries: int
) -> None:
    made = shape(layout)
    for target, values in ((AVX512, wide), (AVX2, narrow), (ARM64, narrow)):
        assert copied_value_floats(made, make_knobs(made, target, 5)) == values
    assert copied_query_floats(made, 5) == queries


@pytest.mark.parametrize(("layout", "read"), [("merged", 56), ("separate", 12), ("planar", 12)])
def test_values_are_as_far_apart_as_they_are_read(layout: str, read: int) -> None:
    made = shape(layout)
    assert value_pitch(made, make_knobs(made, AVX512, 5)) == read


@pytest.mark.parametrize(("wanted", "rows"), [(0, 1), (1, 1), (7, 7), (8, 7), (12, 7), (13, 13)])
def test_blocks_are_even(wanted: int, rows: int) -> None:
    assert make_knobs(shape("merged"), HOST, wanted).task_queries == rows


def test_pieces_of_scratch_start_at_cache_lines() -> None:
    carver = Carver(Emitter().pointer("scratch"))
    assert [carver.take(floats).offset for floats in (5, 0, 16, 17)] == [0, 16, 16, 32]
    assert carver.bytes == 4 * 64
