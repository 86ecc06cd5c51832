"""Turns, and what counts."""

import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from efcompile.devices.interleave import clocked, interleave, take_turns


def test_contestants_take_turns_and_warm_up() -> None:
    calls: list[str] = []
    samples = interleave(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3, warmup=1
    )
    assert calls == ["b", "a", "a", "b"] * 2, "each round starts with another"
    assert {name: len(times) for name, times in samples.items()} == {"a": 3, "b": 3}


def test_times_are_nanoseconds_of_the_call_alone() -> None:
    samples = interleave({"slow": lambda: time.sleep(0.02), "fast": lambda: None}, rounds=2)
    assert all(20e6 <= t < 2e9 for t in samples["slow"])
    assert all(t < 10e6 for t in samples["fast"])


def test_a_clocked_call_is_timed() -> None:
    assert 20e6 <= clocked(lambda: time.sleep(0.02)) < 2e9


@pytest.fixture
def turn(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """A turn that takes a second of a clock that only it moves, and returns its number."""
    now = [0.0]

    def play() -> int:
        now[0] += 1.0
        return int(now[0])

    clock = SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr("efcompile.devices.interleave.time", clock)
    return play


def test_rounds_stop_before_they_would_end_too_late(turn: Callable[[], int]) -> None:
    heard: list[tuple[int, int]] = []
    samples = take_turns(
        {"a": turn, "b": turn},
        100,
        warmup=1,
        seconds=9.5,
        watch=lambda *numbers: heard.append(numbers),
    )
    # Rounds of two seconds, one of them to warm up: the fifth would end at ten.
    assert samples == {"a": [3, 6, 7], "b": [4, 5, 8]}
    assert heard == [(1, 3), (2, 3), (3, 3)]


def test_but_not_before_the_least_number(turn: Callable[[], int]) -> None:
    heard: list[tuple[int, int]] = []
    samples = take_turns(
        {"a": turn},
        100,
        seconds=0.1,
        least=4,
        watch=lambda *numbers: heard.append(numbers),
    )
    assert samples == {"a": [3, 4, 5, 6]}
    assert heard[-1] == (4, 4)


def test_without_a_limit_all_rounds_are_played(turn: Callable[[], int]) -> None:
    heard: list[tuple[int, int]] = []
    take_turns({"a": turn}, 3, watch=lambda *numbers: heard.append(numbers))
    assert heard == [(1, 3), (2, 3), (3, 3)]
