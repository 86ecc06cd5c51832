"""How far tuning is: what a watcher is told after every trial or batch."""

from dataclasses import dataclass

from efcompile.devices.device_state import DeviceState

__all__ = ["DeviceState", "Progress", "TaskState"]


@dataclass(frozen=True)
class TaskState:
    """A kernel being tuned.

    `times` is how many calls of the model it serves and `share` their part of the tasks' time
    (0..1).  `start` and `best` are one call's cost in `unit` (``ns``, ``instructions``), with the
    knobs that were there and with the best so far; nan until measured.  `note` is empty while it
    is tuned, then ``accepted`` or ``default kept``.
    """

    name: str
    times: int
    share: float
    trials: int
    start: float
    best: float
    unit: str
    note: str


@dataclass(frozen=True)
class Progress:
    """All of a run: its `phase` for people, the tasks, heaviest first, trials done of the total,
    the seconds that are probably left (None while unknown), and the devices."""

    phase: str
    tasks: tuple[TaskState, ...]
    trials_done: int
    trials_total: int
    seconds_left: float | None
    devices: tuple[DeviceState, ...]
