"""Tuning's state in tables: figures, units, what is not known yet."""

import io
import math

import pytest
from rich.console import Console, RenderableType

from efcompile.cli.tuning_table import (
    device_line,
    duration,
    gain,
    headline,
    progress_tables,
    task_line,
)
from efcompile.tuning.progress import DeviceState, Progress, TaskState


def _task(start: float = 34_100, best: float = 28_985, note: str = "") -> TaskState:
    return TaskState("gemm 3136x192x48 gelu", 3, 0.31, 16, start, best, "ns", note)


def _shown(what: RenderableType) -> list[str]:
    screen = io.StringIO()
    Console(file=screen, width=120).print(what)
    return screen.getvalue().splitlines()


def test_a_task_shows_all_its_figures() -> None:
    progress = Progress("searching", (_task(),), 120, 400, 370.0, ())
    lines = _shown(progress_tables(progress))
    assert lines[0] == "searching: 120 of 400 trials, 6 min 10 s left"
    (line,) = [line for line in lines if "gemm" in line]
    assert " ".join(line.split()) == "gemm 3136x192x48 gelu 3 16 34.1 µs 29.0 µs 15.0 % 31 %"


def test_what_was_not_measured_is_a_dash() -> None:
    task = _task(math.nan, math.nan)
    assert gain(task) == ""
    assert "nan" not in "\n".join(_shown(progress_tables(Progress("", (task,), 0, 1, None, ()))))
    assert task_line(task) == "gemm 3136x192x48 gelu: 16 trials, -"


def test_a_loss_is_a_loss() -> None:
    assert gain(_task(100, 110)).startswith("\N{MINUS SIGN}10.0")


def test_a_line_says_what_was_decided() -> None:
    assert task_line(_task(note="accepted")) == (
        "gemm 3136x192x48 gelu: 16 trials, 34.1 µs, best 29.0 µs (15.0 %), accepted"
    )


def test_devices_are_shown_with_their_trouble() -> None:
    device = DeviceState("phone [2]", "put aside", 7, 3, "timed out")
    lines = _shown(progress_tables(Progress("searching", (), 7, 9, None, (device,))))
    assert lines[0] == "searching: 7 of 9 trials"
    assert "phone [2] put aside 7 3 timed out" in [" ".join(line.split()) for line in lines]
    assert device_line(device) == "device phone [2]: put aside, 3 failed: timed out"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (370, "6 min 10 s"), (3900, "1 h 05 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_time_left_may_be_unknown() -> None:
    assert headline(Progress("building", (), 0, 400, None, ())) == "building: 0 of 400 trials"
