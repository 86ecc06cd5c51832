"""How tuning is getting on, as tables for people."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from efcompile.tuning.progress import DeviceState, Progress, TaskState

_STYLES = {"accepted": "green", "default kept": "dim"}
_DEVICE_STYLES = {"ready": "green", "busy": "cyan", "put aside": "yellow", "gone": "red"}


def progress_tables(progress: "Progress") -> Group:
    """What `tune` shows while it runs: the state of the whole, the tasks, and the devices."""
    parts: list[Text | Table] = [Text(headline(progress))]
    if progress.tasks:
        parts.append(task_table(progress.tasks))
    if progress.devices:
        parts.append(device_table(progress.devices))
    return Group(*parts)


def headline(progress: "Progress") -> str:
    """``searching: 120 of 400 trials, 6 min 10 s left``."""
    text = f"{progress.phase}: {progress.trials_done} of {progress.trials_total} trials"
    if progress.seconds_left is not None:
        text += f", {duration(progress.seconds_left)} left"
    return text


def task_table(tasks: Iterable["TaskState"]) -> Table:
    """A line per task: the calls it serves, the trials it got, one call's cost with the
    knobs that were there and with the best found, how much less that is, and the share of the
    time."""
    from efcompile.report.units import percent

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("task", no_wrap=True, overflow="ellipsis", max_width=44)
    for column in ("calls", "trials", "start", "best", "gain", "share"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for task in tasks:
        table.add_row(
            task.name,
            str(task.times),
            str(task.trials),
            cost(task.start, task.unit),
            cost(task.best, task.unit),
            gain(task),
            percent(task.share),
            task.note,
            style=_STYLES.get(task.note),
        )
    return table


def device_table(devices: Iterable["DeviceState"]) -> Table:
    """A line per device: how it is, and the trials done and failed on it."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("device", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for column in ("done", "failed"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for device in devices:
        state = Text(device.state, style=_DEVICE_STYLES[device.state])
        table.add_row(device.name, state, str(device.done), str(device.failed), device.note)
    return table


def task_line(task: "TaskState") -> str:
    """A task where there is no terminal: ``gemm 3136x192x48: 16 trials, 34.1 µs, best 29.0 µs
    (15.0 %), accepted``."""
    parts = [f"{task.name}: {task.trials} trials", cost(task.start, task.unit)]
    if gain(task):
        parts.append(f"best {cost(task.best, task.unit)} ({gain(task)})")
    return ", ".join([*parts, *filter(None, [task.note])])


def device_line(device: "DeviceState") -> str:
    """A device where there is no terminal: ``device phone-2: put aside, 3 failed: timed out``."""
    failed = f", {device.failed} failed" if device.failed else ""
    return (
        f"device {device.name}: {device.state}{failed}{f': {device.note}' if device.note else ''}"
    )


def cost(value: float, unit: str) -> str:
    """A cost in a fitting unit, or a dash where nothing was measured."""
    from efcompile.report.units import human

    return human(value, unit) if math.isfinite(value) else "-"


def gain(task: "TaskState") -> str:
    """How much less the best costs than the start, in percent; empty while unknown."""
    from efcompile.report.units import percent

    if not (math.isfinite(task.start) and math.isfinite(task.best) and task.start > 0):
        return ""
    return percent(1 - task.best / task.start, 1)


def duration(seconds: float) -> str:
    """``45 s``, ``6 min 10 s``, ``1 h 05 min``."""
    left = max(0, round(seconds))
    if left < 60:
        return f"{left} s"
    minutes, seconds_left = divmod(left, 60)
    if minutes < 60:
        return f"{minutes} min {seconds_left:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"
