"""The ledger: a row for every pass, with what it changed and what that brought, measured."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from efcompile.devices.device import Device
from efcompile.devices.local import Local
from efcompile.passes.base import Outcome
from efcompile.passes.graph_copy import calls
from efcompile.passes.manager import Stage
from efcompile.report.contest import BUDGET_SECONDS, Score, check_budget, hold_contest
from efcompile.report.deviation import stage_snrs
from efcompile.report.document import SCHEMA, Ledger, Profile, RefusalEntry, Report, Row
from efcompile.report.ends import profile_ends
from efcompile.report.figures import class_differences, cost, difference
from efcompile.report.leave_one_out import Without, leave_each_out
from efcompile.report.machine import measure
from efcompile.report.provenance import machine_of, provenance_of
from efcompile.report.stages import Built, Stages
from efcompile.report.subject import Subject
from efcompile.report.watch import Watch, silent
from efcompile.targets.target import Target

CAPTURED = "captured"
"""The name of the first row."""
_CAPTURED_SUMMARY = "the model as it is, every operation in a kernel of its own"
_NOT_TRIED = Without(None, None)


def measure_ledger(
    subject: Subject,
    target: Target,
    device: Device,
    threads: int,
    *,
    budget: float | None = None,
    leave_one_out: bool = False,
    profiles: bool = True,
    command: str = "",
    watch: Watch = silent,
) -> Report:
    """Build every distinct stage of `subject` for `target`, measure them on `device` in one run,
    and say what each pass brought.

    `budget` bounds the measuring in seconds, profiles included; building, checking and the
    machine's own rates come before and do not count (see `hold_contest` for its default and
    for what is measured at least).  `leave_one_out` also measures, in the same run, the pipeline
    without each pass.  `profiles` adds those of the first and the last stage.
    `command` is noted in the report.

    Raises `DeviceError` if the device cannot run the target's code, `ParityError` naming the
    stage if one computes something else, and what building and measuring raise.
    """
    check_budget(device, budget)
    with tempfile.TemporaryDirectory(prefix="efcompile-") as folder:
        stages = Stages(subject, target, device, threads, Path(folder))
        names = (CAPTURED, *(step.name for step in subject.pipeline))
        built = _build(stages, names, watch)
        without = leave_each_out(stages, built[-1], watch) if leave_one_out else ()
        timed = profiles and isinstance(device, Local)
        rates = measure(threads) if timed else None
        start = time.perf_counter()
        ends = {names[0]: built[0].bundle, names[-1]: built[-1].bundle}
        limit = BUDGET_SECONDS if budget is None else budget
        key = device.name
        shown: tuple[Profile, ...] = ()
        if profiles:
            shown = profile_ends(ends, device, threads, limit, key, rates, watch)
        left = limit - (time.perf_counter() - start)
        bundles = {entry.label: entry.bundle for entry in stages.distinct}
        contest = hold_contest(bundles, device, threads, left, watch)
        seconds = time.perf_counter() - start
        machine = machine_of(device, built[-1].bundle)
    first, last = (contest.scores[entry.label] for entry in (built[0], built[-1]))
    rows = [
        _row(entry, built[-1], contest.scores, key) for entry in _entries(subject, built, without)
    ]
    return Report(
        schema_version=SCHEMA,
        model=subject.name,
        input_shapes=tuple(tuple(x.shape) for x in subject.captured.example_inputs),
        target=target.name,
        command=command,
        provenances={key: provenance_of(last.total, machine)},
        ledger=Ledger(
            rows=tuple(rows),
            whole=difference(last, first, key),
            rounds=contest.rounds,
            seconds=seconds,
        ),
        profiles=shown,
    )


def _build(stages: Stages, names: Sequence[str], watch: Watch) -> list[Built]:
    """The captured graph, then the stage after every pass."""
    subject = stages.subject
    built = []
    for position, (name, graph) in enumerate(zip(names, subject.graphs, strict=True)):
        built.append(stages.build(name, graph, subject.judge(position)))
        watch("build", name, position + 1, len(names))
    return built


@dataclass(frozen=True)
class _Entry:
    """What a row is made of; the captured graph has no stage, and nothing before it."""

    name: str
    summary: str
    nodes: int
    built: Built
    before: Built | None = None
    stage: Stage | None = None
    snr_db: float | None = None
    without: Without = _NOT_TRIED


def _entries(
    subject: Subject, built: Sequence[Built], without: Sequence[Without]
) -> Iterator[_Entry]:
    yield _Entry(CAPTURED, _CAPTURED_SUMMARY, calls(subject.graphs[0]), built[0])
    snrs = stage_snrs(subject)
    for position, (step, stage) in enumerate(zip(subject.pipeline, subject.stages, strict=True)):
        yield _Entry(
            name=step.name,
            summary=step.summary,
            nodes=stage.record.nodes_after,
            built=built[position + 1],
            before=built[position],
            stage=stage,
            snr_db=snrs[position],
            without=without[position] if without else _NOT_TRIED,
        )


def _row(entry: _Entry, whole: Built, scores: Mapping[str, Score], key: str) -> Row:
    built, before, left_out = entry.built, entry.before, entry.without.built
    record = entry.stage.record if entry.stage else None
    outcome = record.outcome if record else Outcome((), ())
    score = scores[built.label]
    earlier = scores[before.label] if before else None
    alone = scores[left_out.label] if left_out else None
    return Row(
        name=entry.name,
        summary=entry.summary,
        exactness="approximate" if record and record.approximate else "exact",
        nodes=entry.nodes,
        kernels=built.calls,
        flops=built.flops,
        moved_bytes=built.moved_bytes,
        arena_bytes=built.arena_bytes,
        bundle_bytes=built.bundle_bytes,
        same_program=built is before,
        cost=cost(score, key),
        difference=difference(score, earlier, key) if earlier else None,
        class_differences=class_differences(score, earlier, key) if earlier else {},
        leave_one_out=difference(scores[whole.label], alone, key) if alone else None,
        required=entry.without.required,
        max_abs_error=record.max_abs_error if record else 0.0,
        relative_error=record.relative_error if record else 0.0,
        snr_db=entry.snr_db,
        rewritten=outcome.rewritten,
        refused=tuple(
            RefusalEntry(where=r.where, source=r.source, reason=r.reason) for r in outcome.refused
        ),
        kept=None,
    )
