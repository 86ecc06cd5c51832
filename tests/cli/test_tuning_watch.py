"""Lines where nobody watches, live tables where somebody does."""

import io
import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console

from efcompile.cli import console, tuning_watch
from efcompile.cli.tuning_watch import MANY
from efcompile.cli.tuning_watch import tuning_watch as watching
from efcompile.tuning.progress import DeviceState, Progress, TaskState

DEVICE = DeviceState("phone-2", "busy", 0, 0, "")


def _task(name: str, trials: int, note: str = "") -> TaskState:
    return TaskState(name, 1, 0.5, trials, 200.0, 100.0, "instructions", note)


def _feed(trials: dict[str, int], batch: int) -> Iterator[Progress]:
    """Each trial is told; tasks take turns by batches."""
    states = {name: replace(_task(name, 0), start=math.nan) for name in trials}
    done = 0
    while any(states[name].trials < count for name, count in trials.items()):
        for name in trials:
            for _ in range(batch):
                done += 1
                states[name] = _task(name, states[name].trials + 1)
                yield Progress("searching", tuple(states.values()), done, 99, 5.0, (DEVICE,))


def test_a_line_per_batch_and_decision(capsys: pytest.CaptureFixture[str]) -> None:
    with watching() as watch:
        last = None
        for last in _feed({"a": 4, "b": 4}, batch=2):
            watch(last)
        assert last is not None
        decided = (replace(last.tasks[0], note="accepted"), last.tasks[1])
        watch(replace(last, phase="re-measuring", tasks=decided, seconds_left=None))
    figures = "200 instr, best 100 instr (50.0 %)"
    assert capsys.readouterr().err.splitlines() == [
        "searching: 1 of 99 trials, 5 s left",
        f"[3/99] a: 2 trials, {figures}",
        f"[5/99] b: 2 trials, {figures}",
        f"[7/99] a: 4 trials, {figures}",
        f"[8/99] b: 4 trials, {figures}",
        "re-measuring: 8 of 99 trials",
        f"[8/99] a: 4 trials, {figures}, accepted",
    ]


def test_a_long_batch_is_told_in_between_and_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with watching() as watch:
        for progress in _feed({"a": MANY + 3}, batch=1):
            watch(progress)
    told = [line for line in capsys.readouterr().err.splitlines() if "] a:" in line]
    assert [line.split(":")[1].split()[0] for line in told] == [str(MANY), str(MANY + 3)]


def test_a_device_is_told_when_it_goes_and_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    with watching() as watch:
        for state in ("ready", "busy", "put aside", "put aside", "ready"):
            device = DeviceState("phone-2", state, 3, 3, "timed out")
            watch(Progress("searching", (), 3, 9, None, (device,)))
    assert capsys.readouterr().err.splitlines()[1:] == [
        "device phone-2: put aside, 3 failed: timed out",
        "device phone-2: ready, 3 failed: timed out",
    ]


def _terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=110)
    for module in (console, tuning_watch):
        monkeypatch.setattr(module, "err", terminal)
    return screen


def test_a_terminal_sees_tables_and_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _terminal(monkeypatch)
    with watching() as watch:
        for progress in _feed({"a": 2}, batch=1):
            watch(progress)
    shown = screen.getvalue()
    assert "searching: 2 of 99 trials, 5 s left" in shown and "phone-2" in shown
    assert "[2/99]" not in shown and "stopping" not in shown


def test_a_terminal_sees_that_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _terminal(monkeypatch)
    with watching(lambda: True) as watch:
        watch(next(_feed({"a": 1}, batch=1)))
    assert "Ctrl-C ends at once" in screen.getvalue()
