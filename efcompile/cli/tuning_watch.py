"""What `tune` shows while it works: live tables on a terminal, lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from efcompile.cli.console import err, say
from efcompile.cli.tuning_table import device_line, headline, progress_tables, task_line

if TYPE_CHECKING:
    from efcompile.tuning.progress import DeviceState, Progress, TaskState

Watch = Callable[["Progress"], None]

MANY = 16
"""Trials of one task after which it gets a line even if no other task had its turn."""


@contextmanager
def tuning_watch(stopping: Callable[[], bool] = lambda: False) -> Iterator[Watch]:
    """A watcher that shows every `Progress` on stderr, for `CompiledModel.tune`; a terminal's
    tables are gone afterwards.  `stopping` tells whether the user has asked for the end."""
    if not err.is_terminal:
        lines = Lines()
        yield lines.watch
        lines.flush()
        return
    tables = _Tables(stopping)
    with Live(console=err, get_renderable=tables.render, refresh_per_second=4, transient=True):
        yield tables.watch


class _Tables:
    """The last `Progress`, with the time left running down between two of them."""

    def __init__(self, stopping: Callable[[], bool]) -> None:
        self._stopping = stopping
        self._last: Progress | None = None
        self._since = 0.0

    def watch(self, progress: "Progress") -> None:
        self._last, self._since = progress, time.monotonic()

    def render(self) -> RenderableType:
        if self._last is None:
            return Text("preparing the tasks")
        shown = self._last
        if shown.seconds_left is not None:
            passed = time.monotonic() - self._since
            shown = replace(shown, seconds_left=max(0.0, shown.seconds_left - passed))
        tables = progress_tables(shown)
        if self._stopping():
            return Group(tables, Text("stopping after the trials in flight; Ctrl-C ends at once"))
        return tables


class Lines:
    """A line for every phase, for every batch of trials that a task got, for what was decided
    about it, and for a device that comes, goes or is put aside."""

    def __init__(self) -> None:
        self._phase = ""
        self._told: dict[str, TaskState] = {}
        self._running: TaskState | None = None
        self._devices: dict[str, str] = {}
        self._last: Progress | None = None

    def watch(self, progress: "Progress") -> None:
        """Say what is new since the last line."""
        if progress.phase != self._phase:
            self.flush()
            self._phase = progress.phase
            say(headline(progress))
        self._last = progress
        for device in progress.devices:
            self._device(device)
        for task in progress.tasks:
            self._task(task)

    def flush(self) -> None:
        """Say what was held back until the batch would be whole."""
        if self._running is not None:
            self._say(self._running)

    def _task(self, task: "TaskState") -> None:
        told = self._told.setdefault(task.name, replace(task, trials=0, note=""))
        if task.trials > told.trials:
            if self._running is not None and self._running.name != task.name:
                self.flush()
            self._running = task
        if task.note != told.note or task.trials - told.trials >= MANY:
            self._say(task)

    def _say(self, task: "TaskState") -> None:
        if self._running is not None and self._running.name == task.name:
            self._running = None
        self._told[task.name] = task
        assert self._last is not None
        say(f"[{self._last.trials_done}/{self._last.trials_total}] {task_line(task)}")

    def _device(self, device: "DeviceState") -> None:
        # Between ready and busy it goes back and forth all the time.
        state = "here" if device.state in ("ready", "busy") else device.state
        if self._devices.get(device.name, "here") != state:
            say(device_line(device))
        self._devices[device.name] = state
