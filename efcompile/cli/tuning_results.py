"""What `tune` found, as tables and as JSON."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from efcompile.cli.console import out, print_json
from efcompile.cli.tuning_table import duration, task_table

if TYPE_CHECKING:
    from efcompile.devices.measurement import Measurement
    from efcompile.tuned_model import Improvement


def print_tuned(found: "Improvement", command: Sequence[str]) -> None:
    """Everything for people, on stdout; `command` compiles the model without tuning."""
    tuning = found.tuning
    accepted = sum(task.note == "accepted" for task in tuning.tasks)
    stopped = ", stopped early" if tuning.stopped else ""
    table = task_table(tuning.tasks)
    table.title = (
        f"{tuning.trials} trials in {duration(tuning.seconds)}{stopped}: "
        f"{accepted} of {len(tuning.tasks)} kernels better"
    )
    out.print(table)
    for split in tuning.winners.splits:
        if split.pays:
            out.print(f"faster as its parts: {split.signature}", markup=False)
    out.print(_whole(found.before, found.after, found.interval))
    out.print(f"{verdict(found)}; error {found.error:.1e} of the output's scale", markup=False)
    for line in _where(found, command):
        out.print(line, markup=False)


def tuned_json(found: "Improvement", command: Sequence[str]) -> None:
    """The same as one document."""
    tuning = found.tuning
    document: dict[str, Any] = {
        "before": asdict(found.before),
        "after": asdict(found.after),
        "interval": found.interval,
        "relative_error": found.error,
        "kept": found.kept,
        "winners": str(found.winners) if found.kept else None,
        "records": str(tuning.folder),
        "tasks": [_known(asdict(task)) for task in tuning.tasks],
        "trials": tuning.trials,
        "stopped": tuning.stopped,
        "seconds": tuning.seconds,
        "use": _use(found, command) if found.kept else None,
    }
    print_json(document)


def verdict(found: "Improvement") -> str:
    """Whether the whole model became cheaper, in words that the interval and the device allow."""
    low, high = found.interval
    ratio = f"{found.after.value / found.before.value:.3f} of before"
    less, more = _WORDS[found.after.kind == "emulated", found.after.unit]
    if high < 0:
        return f"the whole model {less}: {ratio}"
    if low > 0:
        return f"the whole model {more}: {ratio}, so nothing new is kept"
    if low == high == 0:
        return "the whole model is as before"
    return f"the whole model's difference is within the noise: {ratio}"


_WORDS = {
    (False, "ns"): ("is faster", "came out slower"),
    (True, "ns"): ("takes less time under emulation", "takes more time under emulation"),
    (True, "instructions"): ("executes fewer instructions", "executes more instructions"),
}
"""Less and more, by whether it was emulated and the unit."""


def _whole(before: "Measurement", after: "Measurement", interval: tuple[float, float]) -> Table:
    from efcompile.report.units import Scale, scale_for

    scale = scale_for(before.unit, before.value, after.value)
    # Differences are small beside the whole.
    scale = Scale(scale.factor, scale.name, scale.digits + 1)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.title = (
        f"Whole model: {scale.name}, {before.kind} on {before.device}, {before.threads} thread(s)"
    )
    for column in ("", "median", "quartiles"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for name, one in (("before", before), ("after", after)):
        exact = one.spread == (one.value, one.value)
        quartiles = " .. ".join(scale.number(end) for end in one.spread)
        table.add_row(name, scale.number(one.value), "exact" if exact else quartiles)
    low, high = (scale.number(end, signed=True) for end in interval)
    span = "exact" if interval[0] == interval[1] else f"{low} .. {high} (95 %)"
    table.add_row("difference", scale.number(after.value - before.value, signed=True), span)
    return table


def _where(found: "Improvement", command: Sequence[str]) -> list[str]:
    records = f"every trial is in {found.tuning.folder}"
    if found.kept:
        return [f"winners: {found.winners}", records, f"use them: {_use(found, command)}"]
    lines = [f"{records}; run again with more --trials to go on"]
    if found.winners.exists():
        lines.append(f"winners of earlier runs stay: {_use(found, command)}")
    return lines


def _known(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no nan and no infinity: what was not measured is null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


def _use(found: "Improvement", command: Sequence[str]) -> str:
    work_dir: Path = found.tuning.folder.parent.parent
    emulated = ["--emulated-records"] if found.tuning.winners.kind == "emulated" else []
    return shlex.join([*command, "--tuning-records", str(work_dir), *emulated])
