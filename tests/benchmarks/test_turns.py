import time

import pytest

from benchmarks.turns import MIN_ROUNDS, UNTIMED_AFTER_PAUSE, pause_for, ratio, take_turns


def test_every_round_calls_each_twice_and_times_the_second() -> None:
    calls: list[str] = []

    def slow_every_other_time() -> None:
        calls.append("a")
        if calls.count("a") % 2:
            time.sleep(0.02)

    contestants = {"a": slow_every_other_time, "b": lambda: calls.append("b")}
    samples = take_turns(contestants, rounds=6, seconds=60, pause=0)
    assert calls[:4] == ["a", "a", "b", "b"] and calls[4:8] == ["b", "b", "a", "a"]
    assert len(calls) == 2 * 2 * (6 + 2)
    assert [len(times) for times in samples.values()] == [6, 6]
    assert max(samples["a"]) < 20e6


def test_time_ends_the_rounds_but_not_the_first_ones() -> None:
    samples = take_turns({"a": lambda: time.sleep(0.002)}, rounds=1000, seconds=0, pause=0)
    assert len(samples["a"]) == MIN_ROUNDS


def test_a_pause_goes_before_each_turn() -> None:
    calls: list[None] = []
    start = time.perf_counter()
    take_turns({"a": lambda: calls.append(None)}, rounds=5, seconds=60, pause=0.01)
    assert time.perf_counter() - start > 7 * 0.01
    assert len(calls) == 7 * (UNTIMED_AFTER_PAUSE + 1)
    assert pause_for(1) == 0 < pause_for(2)


def test_the_ratio_is_the_rounds_median() -> None:
    assert ratio([1, 2, 30], [2, 2, 2]) == pytest.approx(1)
