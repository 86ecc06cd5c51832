"""Turns, and what counts."""

import time

from efcompile.devices.interleave import interleave


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
