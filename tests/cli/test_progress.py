"""A line per step where nobody watches, a bar where somebody does."""

import io

import pytest
from rich.console import Console

from efcompile.cli import console, progress
from efcompile.cli.progress import steps


def test_without_a_terminal_every_step_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with steps(["a", "b", "a"]) as running:
        running.done("a")
        running.done("b")
        running.done("a")
    assert capsys.readouterr().err == "[1/3] a\n[2/3] b\n[3/3] a\n"


def test_steps_that_were_passed_over_count_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    with steps(["a", "b", "c"]) as running:
        running.done("c")
    assert capsys.readouterr().err == "[3/3] c\n"


def test_a_terminal_sees_a_bar_that_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=80)
    for module in (console, progress):
        monkeypatch.setattr(module, "err", terminal)
    with steps(["first", "second"]) as running:
        running.done("first")
    assert "0 of 2" in screen.getvalue() and "first" in screen.getvalue()
    assert "[1/2]" not in screen.getvalue()
