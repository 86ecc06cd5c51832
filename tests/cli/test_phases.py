"""What is told of progress where there is no terminal, and where there is."""

import io

import pytest
from rich.console import Console

from efcompile.cli import console, phases


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> io.StringIO:
    """What is written to a console that is a terminal, or is not."""
    file = io.StringIO()
    made = Console(file=file, force_terminal=request.param, width=90, highlight=False)
    monkeypatch.setattr(phases, "err", made)
    monkeypatch.setattr(console, "err", made)
    return file


@pytest.mark.parametrize("written", [False], indirect=True)
def test_lines_for_a_file(written: io.StringIO) -> None:
    with phases.phases() as watch:
        watch("passes", "fold-batchnorm", 1, 2)
        watch("passes", "legalise", 2, 2)
        for done in range(1, 101):
            watch("measure", "round", done, 100)
    assert written.getvalue().splitlines() == [
        "running passes [1/2] fold-batchnorm",
        "running passes [2/2] legalise",
        "measuring [1/100] round",
        "measuring [25/100] round",
        "measuring [50/100] round",
        "measuring [75/100] round",
        "measuring [100/100] round",
    ]


@pytest.mark.parametrize("written", [True], indirect=True)
def test_bars_for_a_terminal(written: io.StringIO) -> None:
    with phases.phases() as watch:
        watch("build", "captured", 1, 3)
        watch("measure", "round", 2, 9)
    said = written.getvalue()
    assert "building stages" in said and "1 of 3" in said and "2 of 9" in said
    assert "[1/3]" not in said
