"""A candidate is accepted only if it wins in turns, by more than noise."""

import numpy as np
import pytest

from efcompile.bundle.trial import Outcome
from efcompile.tuning.acceptance import decide


def outcome(centre: float, seed: int = 0, rounds: int = 40, **more: str) -> Outcome:
    noise = np.random.default_rng(seed).normal(1.0, 0.02, rounds)
    return Outcome(tuple(centre * noise), "ns", "measured", 0.0, **more)


def test_the_fastest_of_those_that_win_is_taken() -> None:
    decision = decide([[outcome(100), outcome(97, 1), outcome(90, 2), outcome(104, 3)]])
    assert decision.candidate == 1
    assert decision.start == pytest.approx(100, rel=0.02)
    assert decision.best == pytest.approx(90, rel=0.02)
    low, high = decision.interval
    assert low < decision.best - decision.start < high < 0


@pytest.mark.parametrize("centre", [100.0, 99.9, 120.0])
def test_what_does_not_win_changes_nothing(centre: float) -> None:
    decision = decide([[outcome(100), outcome(centre, 1)]])
    assert decision.candidate is None
    assert decision.best == decision.start
    assert decision.interval == (0.0, 0.0)


def test_drift_that_both_feel_is_no_win() -> None:
    drift = np.linspace(1.0, 1.5, 40)
    start = Outcome(tuple(100 * drift), "ns", "measured", 0.0)
    same = Outcome(tuple(100 * drift + 0.1), "ns", "measured", 0.0)
    assert decide([[start, same]]).candidate is None


def test_counts_compare_exactly() -> None:
    def count(value: float) -> Outcome:
        return Outcome((value,), "instructions", "emulated", 0.0)

    assert decide([[count(1000), count(1000), count(999)]]).candidate == 1
    assert decide([[count(1000), count(1000)]]).candidate is None
    assert decide([[count(1000), count(999)]]).interval == (-1.0, -1.0)


def test_failures_never_win() -> None:
    failed = Outcome((), "ns", "measured", float("nan"), failure="ended by signal 11")
    assert decide([[outcome(100), failed, outcome(90, 1)]]).candidate == 1
    assert decide([[failed, outcome(90)]]).candidate is None


def test_less_than_where_code_happens_to_lie_is_no_win() -> None:
    """The noise of both is nil here, and half a per cent may still be nothing."""

    def steady(centre: float) -> Outcome:
        return Outcome((centre,) * 40, "ns", "measured", 0.0)

    assert decide([[steady(1000), steady(996)]]).candidate is None
    assert decide([[steady(1000), steady(994)]]).candidate == 0


def test_what_wins_with_one_thread_must_not_lose_with_all() -> None:
    alone = [outcome(100), outcome(90, 1), outcome(95, 2)]
    together = [outcome(50, 3), outcome(55, 4), outcome(50, 5)]
    assert decide([alone, together]).candidate == 1
    assert decide([alone, [outcome(50, 3), outcome(50, 4), outcome(50, 5)]]).candidate == 0
    failed = Outcome((), "ns", "measured", float("nan"), failure="cannot start the threads")
    assert decide([alone, [failed] * 3]).candidate == 0
    assert decide([alone, [outcome(50, 3), failed, outcome(50, 5)]]).candidate == 1
