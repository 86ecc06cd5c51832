"""The command line in this process."""

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest

from efcompile.cli.main import run

SMALL = "tests.small:small"


@dataclass(frozen=True)
class Said:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str


def efcompile(*arguments: object) -> Said:
    """Run the command line as a process would, its output not being a terminal."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        run([str(argument) for argument in arguments])
    return Said(int(end.value.code or 0), out.getvalue(), err.getvalue())


def refused(*arguments: object) -> str:
    """Run a command that must fail with one of our errors; the line it says."""
    said = efcompile(*arguments)
    assert (said.code, said.out) == (1, ""), said
    assert "Traceback" not in said.err
    line = said.err.strip().splitlines()[-1]
    assert line.startswith("error: "), said.err
    return line
