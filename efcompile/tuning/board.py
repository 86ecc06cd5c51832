"""Where a run stands, kept up to date and told to whoever watches."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from efcompile.devices.device import TrialDevice
from efcompile.devices.device_state import DeviceState
from efcompile.tuning.journal import Entry, Key
from efcompile.tuning.progress import Progress, TaskState
from efcompile.tuning.task import Task

Watch = Callable[[Progress], None]


@runtime_checkable
class Fleet(Protocol):
    """A device that is several, such as a farm."""

    def states(self) -> tuple[DeviceState, ...]:
        """How each is doing."""


class Board:
    """The states of `tasks` during a run of so many `trials`; `watch` hears of every change."""

    def __init__(self, device: TrialDevice, trials: int, watch: Watch) -> None:
        self._device, self._total, self._watch = device, trials, watch
        self._phase = ""
        self._states: dict[Key, TaskState] = {}
        self._done = self._failed = 0
        self._began = time.monotonic()
        self._searching: tuple[float, int] | None = None  # since when, and the trials done then

    @property
    def states(self) -> tuple[TaskState, ...]:
        """Every task's, heaviest first."""
        return tuple(self._states.values())

    @property
    def trials(self) -> int:
        """Trials done, those of earlier runs included."""
        return self._done

    @property
    def devices(self) -> int:
        """How many measure at the same time."""
        return max(1, len(self._devices()))

    @property
    def seconds(self) -> float:
        """How long the run has taken."""
        return time.monotonic() - self._began

    def begin(self, phase: str, *, searching: bool = False) -> None:
        """`phase` starts."""
        self._phase = phase
        self._searching = (time.monotonic(), self._done) if searching else None
        self._tell()

    def show(self, tasks: Sequence[tuple[Task, float]], unit: str) -> None:
        """These are tuned, heaviest first, each with the cost of one call in `unit`."""
        total = sum(task.times * cost for task, cost in tasks) or 1.0
        self._states = {
            task.key: TaskState(
                task.name, task.times, task.times * cost / total, 0, cost, cost, unit, ""
            )
            for task, cost in tasks
        }
        self._tell()

    def count(self, entry: Entry) -> None:
        """A trial has ended."""
        self._done += 1
        self._failed += entry.seconds is None
        state = self._states.get(entry.key)
        if state is not None:
            cost = math.inf if entry.seconds is None else entry.seconds * 1e9
            best = min(state.best, cost)
            self._states[entry.key] = replace(state, trials=state.trials + 1, best=best)
        self._tell()

    def decide(self, task: Task, start: float, best: float, note: str) -> None:
        """What the second measurement of a task said."""
        if task.key in self._states:
            state = self._states[task.key]
            self._states[task.key] = replace(state, start=start, best=best, note=note)
        self._tell()

    def _tell(self) -> None:
        self._watch(
            Progress(
                self._phase,
                self.states,
                self._done,
                self._total,
                self._left(),
                self._devices(),
            )
        )

    def _left(self) -> float | None:
        if self._searching is None:
            return None
        since, before = self._searching
        done = self._done - before
        if done == 0:
            return None
        return (time.monotonic() - since) / done * max(0, self._total - self._done)

    def _devices(self) -> tuple[DeviceState, ...]:
        if isinstance(self._device, Fleet):
            return self._device.states()
        return (DeviceState(self._device.name, "busy", self._done, self._failed, ""),)
