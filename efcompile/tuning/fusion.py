"""Whether a fused kernel beats its parts on this device: fusing is a candidate like any other.

The parts of a fused op (see `passes.fused_parts`) run one after the other in one trial, with the
best knobs known for each, and take turns with the fused kernel.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from statistics import median

from efcompile.bundle.trial import Trial
from efcompile.kernels import registry
from efcompile.kernels.knob_source import KnobSource
from efcompile.kernels.knobs import flatten
from efcompile.kernels.tuned import Split
from efcompile.lowering.parts import parts_of, signature
from efcompile.tuning.acceptance import decide, surely_less
from efcompile.tuning.bench import Bench
from efcompile.tuning.compile import Compiled
from efcompile.tuning.task import Task
from efcompile.tuning.trials import Stage, make_trial

_ROUNDS = 40


@dataclass(frozen=True, eq=False)
class Link:
    """A part as a task of its own; `operands` are its runtime operands as the fused op calls
    them, None for the result of the part before."""

    task: Task
    operands: dict[str, str | None]


def chain_of(task: Task) -> tuple[Link, ...]:
    """The parts of a fused task; empty if it has none, or a kernel of ours for not all of them."""
    links = []
    for part in parts_of(task.call) or ():
        found = registry.find(part.call)
        if isinstance(found, str):
            return ()
        kernel, shape = found
        one = Task(kernel, shape, task.target, part.call, task.times, task.sources)
        links.append(Link(one, part.inputs))
    return tuple(links)


def judge_fusion(
    tasks: Sequence[Task], bench: Bench, knobs: KnobSource, stop: threading.Event
) -> tuple[Split, ...]:
    """What each fused one of `tasks` costs as one kernel and as its parts, where one of the two
    is cheaper beyond doubt; both with the knobs that `knobs` gives."""
    found = []
    for task in tasks:
        links = chain_of(task)
        if not links or stop.is_set():
            continue
        pair = contestants(task, links, bench, knobs)
        if pair is None:
            continue
        runs = bench.contest(pair, _ROUNDS)
        fused, apart = runs[0]
        text = signature(task.call)
        if text is None or fused.failure or apart.failure:
            continue
        if decide(runs).candidate is not None or surely_less(fused, apart)[0]:
            split = Split(
                op=task.call.op,
                signature=text,
                fused=median(fused.values),
                apart=median(apart.values),
                unit=fused.unit,
                date=date.today().isoformat(),
            )
            found.append(split)
    return tuple(found)


def contestants(
    task: Task, links: Sequence[Link], bench: Bench, knobs: KnobSource
) -> tuple[Trial, Trial] | None:
    """The trials of the fused kernel and of its parts; None if one of them does not compile."""
    everyone = [task, *(link.task for link in links)]
    chosen = [knobs(one.kernel, one.shape, one.target) for one in everyone]
    built = bench.compile([(one, flatten(own)) for one, own in zip(everyone, chosen, strict=True)])
    codes = [code for _, code in built if isinstance(code, Compiled)]
    if len(codes) < len(everyone):
        return None
    given, expected = bench.example(task)
    fused, *apart = (
        Stage(one.kernel, one.shape, own, one.call, code)
        for one, own, code in zip(everyone, chosen, codes, strict=True)
    )
    wired = [
        replace(stage, operands=link.operands) for stage, link in zip(apart, links, strict=True)
    ]
    return (
        make_trial(task.name, [fused], given, expected),
        make_trial(f"{task.name} apart", wired, given, expected),
    )
