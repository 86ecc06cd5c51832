"""What `report` says while it works: a bar for every phase on a terminal, lines elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from efcompile.cli.console import err, say
from efcompile.report.watch import Phase, Watch

NAMES: Final[dict[Phase, str]] = {
    "passes": "running passes",
    "build": "building stages",
    "profile": "profiling",
    "measure": "measuring",
}
_LINES = 4
"""Of many rounds, so many are told where there is no terminal."""


@contextmanager
def phases() -> Iterator[Watch]:
    """A `Watch` that shows on stderr how far each phase is; a terminal's bars are gone
    afterwards."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[phase]}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f}"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    tasks: dict[Phase, TaskID] = {}
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:

        def watch(phase: Phase, what: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = progress.add_task(what, total=total, phase=NAMES[phase])
            progress.update(tasks[phase], completed=done, total=total, description=what)
            if not err.is_terminal and _told(what, done, total):
                say(f"{NAMES[phase]} [{done}/{total}] {what}")

        yield watch


def _told(what: str, done: int, total: int) -> bool:
    if what != "round":
        return True
    return done in {1, total} or done * _LINES // total != (done - 1) * _LINES // total
