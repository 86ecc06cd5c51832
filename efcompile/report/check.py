"""A fresh measurement beside a saved report's: is the model as fast as it was?"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from efcompile.devices.device import Device
from efcompile.passes.base import Pass
from efcompile.report.contest import hold_contest
from efcompile.report.document import Figure, Provenance, Report
from efcompile.report.figures import figure
from efcompile.report.ledger import CAPTURED
from efcompile.report.provenance import check_comparable, machine_of, provenance_of
from efcompile.report.stages import Stages
from efcompile.report.subject import Subject
from efcompile.report.watch import Watch, silent
from efcompile.targets.target import Target

SLACK = 0.05
"""What two runs of the same program may differ by beyond their intervals, as a share: clocks,
neighbours and the places of memory differ from run to run, which no interval within one knows."""
BUDGET_SECONDS = 20.0
ATTEMPTS = 3

Verdict = Literal["as fast", "faster", "slower"]


@dataclass(frozen=True)
class Checked:
    """The finished program's cost (`saved`, `fresh`) with quartiles, and the same for the graph as
    captured (`captured`: saved, fresh), which tells a slower machine from slower code.
    `attempts` is how often it was measured."""

    saved: Figure
    fresh: Figure
    captured: tuple[Figure, Figure]
    provenance: Provenance
    slack: float
    attempts: int

    @property
    def verdict(self) -> Verdict:
        """Whether the two intervals, with the slack between them, are apart."""
        return compare(self.saved, self.fresh, self.slack)


def compare(saved: Figure, fresh: Figure, slack: float) -> Verdict:
    """``slower`` where all of the fresh interval is above the saved one by more than `slack`
    times that, ``faster`` the other way round."""
    if fresh.low > saved.high * (1 + slack):
        return "slower"
    if fresh.high * (1 + slack) < saved.low:
        return "faster"
    return "as fast"


def check_report(
    saved: Report,
    subject: Subject,
    target: Target,
    device: Device,
    *,
    budget: float | None = None,
    slack: float | None = None,
    watch: Watch = silent,
) -> Checked:
    """Build the first and the last stage of `subject`, measure them as `saved` was, and compare.

    `slack` is `SLACK` for times, and nothing for counts, which repeat exactly.  A slow result is
    measured again, up to `ATTEMPTS` times: only a slowdown that stays is one.

    Raises `DeviceError` if the two may not be compared (another kind, device, target, machine or
    number of threads), `ParityError` if the program is wrong now, and what building raises.
    """
    before = saved.provenances[saved.ledger.whole.provenance]
    graphs = subject.graphs
    seconds = BUDGET_SECONDS if budget is None else budget
    with tempfile.TemporaryDirectory(prefix="efcompile-") as folder:
        stages = Stages(subject, target, device, before.threads, Path(folder))
        first = stages.build(CAPTURED, graphs[0], subject.judge(0))
        watch("build", CAPTURED, 1, 2)
        last = stages.build("finished", graphs[-1], subject.judge(len(subject.stages)))
        watch("build", "finished", 2, 2)
        machine = machine_of(device, last.bundle)
        here = {"device": device.name, "target": target.name, "machine": machine}
        check_comparable(before, before.model_copy(update=here))
        bundles = {built.label: built.bundle for built in (first, last)}
        for attempt in range(1, ATTEMPTS + 1):
            contest = hold_contest(bundles, device, before.threads, seconds, watch)
            scores = contest.scores
            total = scores[last.label].total
            now = provenance_of(total, machine)
            check_comparable(before, now)
            exact = now.kind == "emulated"
            rows = saved.ledger.rows
            checked = Checked(
                saved=rows[-1].cost.total,
                fresh=figure(total, device.name),
                captured=(rows[0].cost.total, figure(scores[first.label].total, device.name)),
                provenance=now,
                slack=(0.0 if exact else SLACK) if slack is None else slack,
                attempts=attempt,
            )
            if exact or checked.verdict != "slower":
                break
    return checked


def pipeline_of(saved: Report, pipeline: Sequence[Pass]) -> tuple[Pass, ...]:
    """`pipeline` without what the gate of `saved` rejected before it was measured: passes that
    broke the numbers.  Those that it found slow were measured, and stay."""
    rejected = {row.name for row in saved.ledger.rows if row.kept is False and not row.rewritten}
    return tuple(step for step in pipeline if step.name not in rejected)
