"""What `optimize` says while it works: a bar on a terminal, a line per step elsewhere."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from efcompile.cli.console import err, say


class Steps:
    """Named steps in order, of which one is running."""

    def __init__(self, names: Sequence[str], progress: Progress) -> None:
        self._names = names
        self._progress = progress
        self._task = progress.add_task(names[0], total=len(names))
        self._at = 0

    def done(self, name: str) -> None:
        """The next step of that name has ended, and with it those before."""
        self._at = self._names.index(name, self._at) + 1
        if not err.is_terminal:
            say(f"[{self._at}/{len(self._names)}] {name}")
        running = self._names[self._at] if self._at < len(self._names) else ""
        self._progress.update(self._task, completed=self._at, description=running)


@contextmanager
def steps(names: Sequence[str]) -> Iterator[Steps]:
    """Show on stderr how far `names` are; a terminal's bar is gone afterwards."""
    columns = (
        SpinnerColumn(),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f}"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        yield Steps(names, progress)
