"""The interval of a difference between medians."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efcompile.devices.statistics import difference_interval

TIMES = st.lists(st.tuples(st.integers(1, 10**9), st.integers(1, 10**9)), min_size=1, max_size=12)


def _split(pairs: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    return [a for a, _ in pairs], [b for _, b in pairs]


@settings(max_examples=30, deadline=None)
@given(TIMES)
def test_the_difference_is_inside_its_interval(pairs: list[tuple[int, int]]) -> None:
    after, before = _split(pairs)
    low, high = difference_interval(after, before)
    assert low <= np.median(after) - np.median(before) <= high


@settings(max_examples=30, deadline=None)
@given(TIMES, st.integers(-(10**6), 10**6))
def test_a_constant_moves_it_and_equal_samples_repeat_it(
    pairs: list[tuple[int, int]], shift: int
) -> None:
    after, before = _split(pairs)
    low, high = difference_interval(after, before)
    assert (low, high) == difference_interval(after, before)
    moved = difference_interval([a + shift for a in after], before)
    assert moved == pytest.approx((low + shift, high + shift), abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(TIMES)
def test_turned_round_it_is_mirrored(pairs: list[tuple[int, int]]) -> None:
    after, before = _split(pairs)
    low, high = difference_interval(after, before)
    back = difference_interval(before, after)
    assert back == pytest.approx((-high, -low), abs=1e-3)


def test_drift_that_both_felt_does_not_widen_it() -> None:
    source = np.random.default_rng(0)
    before = source.normal(1000.0, 1.0, 60)
    after = source.normal(1010.0, 1.0, 60)
    drift = np.linspace(0.0, 500.0, 60)
    low, high = difference_interval(list(after + drift), list(before + drift))
    # Rounds resampled apart would give medians that differ by the drift's spread.
    assert 0 < low < 10 < high and high - low < 25


def test_its_confidence_is_about_what_it_says() -> None:
    source = np.random.default_rng(1)
    trials = 200
    inside = 0
    for _ in range(trials):
        after, before = source.exponential(5.0, (2, 30)) + 100
        low, high = difference_interval(list(after), list(before))
        inside += low <= 0 <= high
    assert 0.90 * trials <= inside < trials


def test_a_single_round_has_no_width_and_other_rounds_are_refused() -> None:
    assert difference_interval([5], [3]) == (2, 2)
    with pytest.raises(ValueError, match="2 rounds against 1"):
        difference_interval([1, 2], [1])
