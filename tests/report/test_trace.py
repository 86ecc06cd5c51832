"""Traces have what the trace viewers' format requires, and every call once.

The fields are those of the "Trace Event Format" document: every event names its phase, process
and thread; complete events have a timestamp and a duration in microseconds, counters a timestamp
and numbers, metadata a name.
"""

import json
from typing import Any

import pytest

from efcompile.report.trace import trace
from tests.report.profiles import PROVENANCE, profile

REQUIRED = {
    "X": {"name": str, "cat": str, "ts": float, "dur": float, "pid": int, "tid": int, "args": dict},
    "C": {"name": str, "ts": float, "pid": int, "args": dict},
    "M": {"name": str, "pid": int, "tid": int, "args": dict},
}


def _trace(unit: str = "ns") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(trace(profile(unit), PROVENANCE, "net")))
    return document


def _events(document: dict[str, Any], phase: str) -> list[dict[str, Any]]:
    return [event for event in document["traceEvents"] if event["ph"] == phase]


@pytest.mark.parametrize("unit", ["ns", "instructions"])
def test_every_event_has_the_fields_of_its_phase(unit: str) -> None:
    document = _trace(unit)
    assert document["displayTimeUnit"] in ("ms", "ns")
    for event in document["traceEvents"]:
        for name, kind in REQUIRED[event["ph"]].items():
            assert isinstance(event[name], kind), (name, event)
        assert event.get("ts", 0) >= 0 and event.get("dur", 0) >= 0
    for counter in _events(document, "C"):
        assert all(isinstance(value, int | float) for value in counter["args"].values())


def test_calls_follow_one_another_without_a_gap() -> None:
    calls = _events(_trace(), "X")
    assert [call["args"]["index"] for call in calls] == [0, 1, 2, 3]
    assert [call["ts"] for call in calls] == pytest.approx([0, 0.01, 0.03, 0.07])
    assert [call["dur"] for call in calls] == pytest.approx([0.01, 0.02, 0.04, 0.03])


def test_calls_say_what_they_are() -> None:
    first = _events(_trace(), "X")[0]
    assert (first["name"], first["cat"]) == ("conv stem", "patch embed")
    assert first["args"]["sources"] == ["stem.conv", "stem.bn"]
    assert (first["args"]["flops"], first["args"]["GFLOP/s"], first["args"]["GB/s"]) == (
        1000,
        100.0,
        50.0,
    )


def test_the_arena_is_counted() -> None:
    counters = _events(_trace(), "C")
    assert [counter["args"]["bytes"] for counter in counters] == [64, 64, 0, 0]


def test_instructions_are_not_passed_off_as_time() -> None:
    document = _trace("instructions")
    names = [event["args"]["name"] for event in _events(document, "M")]
    assert "calls; 1 us stands for 1000 instructions" in names
    first = _events(document, "X")[0]["args"]
    assert first["instructions"] == 10
    assert "GFLOP/s" not in first and "ns" not in first


def test_it_says_where_it_comes_from() -> None:
    other = _trace()["otherData"]
    assert (other["model"], other["stage"], other["device"]) == ("net", "last", "local")
