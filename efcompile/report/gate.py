"""The gate: passes that do not pay, or that break the numbers, are left out.

- **numerics**: a pass is left out if the graph after it computes something else than the one
  before it, or if its stage, compiled, does on the device.  Approximate passes run on request and
  are not judged.
- **latency**: a pass is left out if the whole pipeline is slower with it than without it, by more
  than the interval of that difference (on a device that counts instructions, if it takes more).
  Of many passes that do nothing some look slow by chance, so each is confirmed in a second run of
  its own, on top of those that are left out already.

What the lowering requires is never left out.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from torch import Tensor, nn
from torch.fx import GraphModule

from efcompile.capture import Captured, capture
from efcompile.devices.device import Device
from efcompile.errors import EfcompileError, InputError, ParityError, PassVerificationError
from efcompile.kernels.knob_source import SHIPPED, KnobSource
from efcompile.passes.accounting import account
from efcompile.passes.base import Match, Outcome, Pass, Refusal
from efcompile.passes.legalise import Legalise
from efcompile.passes.manager import Stage, run_pipeline
from efcompile.report.contest import BUDGET_SECONDS, hold_contest
from efcompile.report.document import Figure, Report
from efcompile.report.figures import difference
from efcompile.report.ledger import CAPTURED, measure_ledger
from efcompile.report.lock import LeftOut
from efcompile.report.stages import Built, Stages
from efcompile.report.subject import Subject, judge
from efcompile.report.units import human, interval, scale_for
from efcompile.report.watch import Watch, silent
from efcompile.targets.target import Target

Criterion = Literal["latency", "numerics"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
CONFIRMATION = 0.25
"""The share of the budget that each confirmation may take, in addition."""


@dataclass(frozen=True)
class Gated:
    """A report whose rows say which passes were kept, and those that were not, in order."""

    report: Report
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class Rejected(Pass):
    """Stands in the pipeline for a pass that broke the numbers, and leaves the graph alone."""

    reason: str

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Nothing."""
        return iter(())

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """Never asked."""
        return self.reason

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """Never asked."""
        raise AssertionError(self.reason)

    def run(self, graph_module: GraphModule) -> Outcome:
        """Refuse the whole graph, with the reason."""
        return Outcome((), (Refusal("(graph)", "(model)", f"gate: {self.reason}"),))


def criteria(text: str) -> tuple[Criterion, ...]:
    """``latency,numerics`` or one of the two; `InputError` for anything else."""
    given = [word.strip() for word in text.split(",") if word.strip()]
    if unknown := [word for word in given if word not in CRITERIA]:
        raise InputError(f"unknown gate {unknown[0]!r}: there are {' and '.join(CRITERIA)}")
    if not given:
        raise InputError(f"--gate needs {' or '.join(CRITERIA)}, or both with a comma")
    return tuple(name for name in CRITERIA if name in given)


@dataclass(frozen=True)
class Gate:
    """Gates the passes of a model for `target` on `device`; `budget` bounds the measuring of the
    ledger in seconds, as `measure_ledger` has it, and `knobs` are the kernels'."""

    target: Target
    device: Device
    threads: int
    judges: tuple[Criterion, ...]
    budget: float | None = None
    watch: Watch = silent
    knobs: KnobSource = SHIPPED

    def report(
        self,
        module: nn.Module,
        inputs: Tensor | Sequence[Tensor] | None,
        pipeline: Sequence[Pass],
        name: str,
        *,
        profiles: bool = True,
        leave_one_out: bool = False,
        command: str = "",
    ) -> Gated:
        """Measure the ledger of `pipeline` and decide on every pass of it.

        Raises what `subject_of` and `measure_ledger` do; with ``numerics``, wrong numbers are an
        error only where no pass can be left out that they come from.
        """
        captured = capture(module, inputs)
        rejected: dict[int, str] = {}
        while True:
            subject = self._subject(name, captured, pipeline, rejected)
            try:
                report = measure_ledger(
                    subject,
                    self.target,
                    self.device,
                    self.threads,
                    budget=self.budget,
                    leave_one_out=leave_one_out or "latency" in self.judges,
                    profiles=profiles,
                    command=command,
                    watch=self.watch,
                )
                break
            except ParityError as error:
                position = self._first_wrong(subject) if "numerics" in self.judges else None
                if position is None:
                    raise
                rejected[position] = str(error)
        found = [LeftOut(name=pipeline[i].name, reason=rejected[i]) for i in sorted(rejected)]
        if "latency" in self.judges:
            found += self._slow(subject, report)
        return Gated(_decided(report, found), tuple(found))

    def _subject(
        self,
        name: str,
        captured: Captured,
        pipeline: Sequence[Pass],
        rejected: dict[int, str],
    ) -> Subject:
        """The stages, with every pass that breaks the numbers put into `rejected`."""
        steps = [_unless(step, rejected.get(i)) for i, step in enumerate(pipeline)]
        stages: list[Stage] = []

        def tell(stage: Stage) -> None:
            stages.append(stage)
            self.watch("passes", stage.name, len(stages), len(steps))

        while len(stages) < len(steps):
            graph = stages[-1].graph_module if stages else captured.graph_module
            try:
                run_pipeline(graph, captured.example_inputs, steps[len(stages) :], hook=tell)
            except PassVerificationError as error:
                at = len(stages)
                if "numerics" not in self.judges or not _may_go(captured, pipeline, rejected, at):
                    raise
                rejected[at] = str(error)
                steps[at] = _unless(steps[at], rejected[at])
        return Subject(name, captured, tuple(steps), tuple(stages), self.knobs)

    def _first_wrong(self, subject: Subject) -> int | None:
        """The pass whose stage is the first that, compiled, computes something else; None if
        none is, or if it cannot be left out."""
        with tempfile.TemporaryDirectory(prefix="efcompile-") as folder:
            stages = self._stages(subject, folder)
            for position, graph in enumerate(subject.graphs):
                try:
                    stages.build(str(position), graph, subject.judge(position))
                except ParityError:
                    at = position - 1
                    if at < 0 or not _may_go(subject.captured, subject.pipeline, {}, at):
                        return None
                    return at
        return None

    def _slow(self, subject: Subject, report: Report) -> list[LeftOut]:
        """The passes that cost more than they bring, the worst first."""
        suspects = sorted(
            (row for row in report.ledger.rows if row.leave_one_out and row.leave_one_out.low > 0),
            key=lambda row: -row.leave_one_out.value if row.leave_one_out else 0.0,
        )
        found: list[LeftOut] = []
        for row in suspects:
            if row.name in [entry.name for entry in found] or row.name == Legalise.name:
                continue
            again = self._confirm(subject, [entry.name for entry in found], row.name)
            if again is not None and again.low > 0:
                found.append(LeftOut(name=row.name, reason=_slower(again)))
        return found

    def _confirm(self, subject: Subject, gone: Sequence[str], name: str) -> Figure | None:
        """What `name` costs, measured anew, where the passes `gone` are left out already; None
        if what is left cannot do without it too."""
        key = self.device.name
        with tempfile.TemporaryDirectory(prefix="efcompile-") as folder:
            stages = self._stages(subject, folder)
            try:
                with_it = self._final(stages, gone)
                without = self._final(stages, [*gone, name])
            except ParityError:
                raise
            except EfcompileError:
                return None
            if len(without.leftovers) > len(with_it.leftovers):
                return None
            bundles = {built.label: built.bundle for built in (with_it, without)}
            seconds = CONFIRMATION * (BUDGET_SECONDS if self.budget is None else self.budget)
            contest = hold_contest(bundles, self.device, self.threads, seconds, self.watch)
            scores = contest.scores
        return difference(scores[with_it.label], scores[without.label], key)

    def _final(self, stages: Stages, gone: Sequence[str]) -> Built:
        """The finished program of the pipeline without the passes `gone`."""
        captured = stages.subject.captured
        steps = [step for step in stages.subject.pipeline if step.name not in gone]
        run = run_pipeline(captured.graph_module, captured.example_inputs, steps, verify=False)
        graph = run[-1].graph_module if run else captured.graph_module
        label = f"without {', '.join(gone)}" if gone else "all passes"
        return stages.build(label, graph, judge(captured.graph_module, run))

    def _stages(self, subject: Subject, folder: str) -> Stages:
        return Stages(subject, self.target, self.device, self.threads, Path(folder))


def _unless(step: Pass, reason: str | None) -> Pass:
    """`step`, or what stands for it where it was rejected."""
    if reason is None:
        return step
    # Names are their classes', so the one that has this pass's is made for it.
    kind = type("Rejected", (Rejected,), {"name": step.name, "summary": step.summary})
    stand_in: Pass = kind(reason)
    return stand_in


def _may_go(
    captured: Captured, pipeline: Sequence[Pass], rejected: dict[int, str], position: int
) -> bool:
    """Whether everything that has a kernel has one without the pass too."""

    def left(without: set[int]) -> int:
        steps = [step for i, step in enumerate(pipeline) if i not in without]
        run = run_pipeline(captured.graph_module, captured.example_inputs, steps, verify=False)
        return len(account(run[-1].graph_module if run else captured.graph_module).leftovers)

    if pipeline[position].name == Legalise.name:
        return False
    try:
        return left({*rejected, position}) <= left(set(rejected))
    except EfcompileError:
        # It does not even run to the end: then nothing can be said for keeping it.
        return True


def _decided(report: Report, left_out: Sequence[LeftOut]) -> Report:
    names = {entry.name for entry in left_out}
    rows = [
        row if row.name == CAPTURED else row.model_copy(update={"kept": row.name not in names})
        for row in report.ledger.rows
    ]
    ledger = report.ledger.model_copy(update={"rows": tuple(rows)})
    return report.model_copy(update={"ledger": ledger})


def _slower(found: Figure) -> str:
    scale = scale_for(found.unit, found.value)
    between = interval(found, scale, signed=True)
    text = f"{human(found.value, found.unit, signed=True)} with it"
    return f"{text} ({between})" if between else text
