from dataclasses import dataclass

import pytest

from efcompile.errors import TuningError
from efcompile.kernels.knobs import flatten, with_values


@dataclass(frozen=True)
class Inner:
    rows: int
    lane_a: bool


@dataclass(frozen=True)
class Knobs:
    tile: Inner
    task_rows: int


KNOBS = Knobs(Inner(9, False), 4)


def test_knobs_are_flattened_to_dotted_paths() -> None:
    assert flatten(KNOBS) == {"tile.rows": 9, "tile.lane_a": 0, "task_rows": 4}
    assert all(type(value) is int for value in flatten(KNOBS).values())


def test_values_replace_leaves_and_leave_the_rest() -> None:
    assert with_values(KNOBS, {}) == KNOBS
    assert with_values(KNOBS, {"tile.rows": 3}) == Knobs(Inner(3, False), 4)
    changed = with_values(KNOBS, {"tile.lane_a": 1, "task_rows": 7})
    assert changed == Knobs(Inner(9, True), 7)
    # Its text is what code is cached by, so a boolean has to stay one.
    assert repr(changed) == repr(Knobs(Inner(9, True), 7))
    assert with_values(changed, flatten(KNOBS)) == KNOBS


def test_an_unknown_path_is_refused_with_those_there_are() -> None:
    with pytest.raises(TuningError, match=r"Knobs has no knob tile\.columns; it has tile\.rows"):
        with_values(KNOBS, {"tile.columns": 1})
    with pytest.raises(TuningError, match="no knob tile;"):
        with_values(KNOBS, {"tile": 1})
