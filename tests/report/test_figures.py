"""Figures and the arithmetic on them: exact, with intervals, and never of two kinds."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efcompile.devices.measurement import Kind, Measurement, summarise
from efcompile.errors import DeviceError
from efcompile.report.contest import Score
from efcompile.report.figures import class_differences, cost, difference


def _measurement(samples: list[int], unit: str, kind: Kind) -> Measurement:
    value, spread = summarise(samples)
    return Measurement(value, unit, spread, len(samples), "local", "host", 1, kind)


def _times(*samples: int) -> Score:
    return Score(_measurement(list(samples), "ns", "measured"), {}, samples)


def _counts(fmla: int, load: int) -> Score:
    def counted(count: int) -> Measurement:
        return _measurement([count], "instructions", "emulated")

    parts = {"fmla": counted(fmla), "load": counted(load)}
    return Score(counted(fmla + load), parts, (fmla + load,))


ROUNDS = st.integers(5, 9).flatmap(
    lambda rounds: st.lists(
        st.lists(st.integers(1, 10**10), min_size=rounds, max_size=rounds),
        min_size=2,
        max_size=6,
    )
)


@settings(max_examples=25, deadline=None)
@given(ROUNDS)
def test_differences_of_times_add_up_to_the_whole_exactly(stages: list[list[int]]) -> None:
    scores = [_times(*samples) for samples in stages]
    steps = [difference(b, a, "k") for a, b in itertools.pairwise(scores)]
    whole = difference(scores[-1], scores[0], "k")
    assert sum(step.value for step in steps) == whole.value
    assert all(step.low <= step.value <= step.high for step in steps)


def test_a_score_differs_from_itself_by_nothing() -> None:
    score = _times(10, 30, 20, 25, 80)
    found = difference(score, score, "k")
    assert (found.value, found.low, found.high, found.samples) == (0, 0, 0, 5)


def test_a_cost_has_its_quartiles_and_its_source() -> None:
    total = cost(_times(10, 20, 30, 40, 50), "key").total
    assert (total.low, total.value, total.high) == (20, 30, 40)
    assert (total.unit, total.samples, total.provenance) == ("ns", 5, "key")


def test_counts_are_exact_and_have_classes() -> None:
    after, before = _counts(10, 7), _counts(12, 4)
    found = difference(after, before, "k")
    assert (found.value, found.low, found.high, found.unit) == (1, 1, 1, "instructions")
    parts = class_differences(after, before, "k")
    assert {name: part.value for name, part in parts.items()} == {"fmla": -2, "load": 3}
    assert cost(after, "k").classes["fmla"].value == 10


def test_times_and_counts_never_meet() -> None:
    with pytest.raises(DeviceError, match="different kind cannot be compared"):
        difference(_times(1, 2), _counts(1, 1), "k")
    cycles = Score(_measurement([4], "cycles", "measured"), {}, (4,))
    with pytest.raises(DeviceError, match="different unit cannot be compared"):
        difference(_times(1, 2), cycles, "k")
