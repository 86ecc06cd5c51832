import pytest

from efcompile.kernels.attention_parts import (
    Carver,
    copied_query_floats,
    copied_value_floats,
    make_knobs,
)
from efcompile.kernels.attention_shape import Shape, shape_of
from efcompile.kernels.emit import Emitter
from tests.kernels.attention_cases import NOTHING, Case
from tests.kernels.harness import HOST, op_call


def shape(layout: str) -> Shape:
    made = shape_of(op_call("attention", **NOTHING, **Case(layout=layout).args()))
    assert isinstance(made, Shape)
    return made


@pytest.mark.parametrize(
    ("layout", "values", "queries"),
    [("merged", 13 * 12, 0), ("separate", 0, 0), ("planar", 13 * 12, 5 * 8)],
)
def test_copies_only_what_is_not_in_place(layout: str, values: int, queries: int) -> None:
    assert copied_value_floats(shape(layout)) == values
    assert copied_query_floats(shape(layout), 5) == queries


@pytest.mark.parametrize(("wanted", "rows"), [(0, 1), (1, 1), (7, 7), (8, 7), (12, 7), (13, 13)])
def test_blocks_are_even(wanted: int, rows: int) -> None:
    assert make_knobs(shape("merged"), HOST, wanted).task_queries == rows


def test_pieces_of_scratch_start_at_cache_lines() -> None:
    carver = Carver(Emitter().pointer("scratch"))
    assert [carver.take(floats).offset for floats in (5, 0, 16, 17)] == [0, 16, 16, 32]
    assert carver.bytes == 4 * 64
