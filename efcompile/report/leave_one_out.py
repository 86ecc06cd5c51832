"""The whole pipeline without one pass, and whether it can do without it."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch.fx import GraphModule

from efcompile.errors import EfcompileError, ParityError
from efcompile.passes.accounting import account
from efcompile.passes.manager import Stage, run_pipeline
from efcompile.report.stages import Built, Stages
from efcompile.report.subject import Subject, judge
from efcompile.report.watch import Watch, silent


@dataclass(frozen=True)
class Without:
    """What became of the pipeline without a pass: its program, or why there is none; neither
    where it was not tried."""

    built: Built | None
    required: str | None


def leave_each_out(stages: Stages, whole: Built, watch: Watch = silent) -> tuple[Without, ...]:
    """For each pass of the pipeline, in order, everything but that pass; `whole` is all of it.

    The passes after it run again on the graph before it.  A pass is required if without it one
    of these fails, the result cannot be lowered, or operations are left that none of our kernels
    takes.  Raises `ParityError` naming the pass if the program without it is wrong.
    """
    subject = stages.subject
    found = []
    for position, step in enumerate(subject.pipeline):
        found.append(_leave_out(stages, whole, position))
        watch("build", f"without {step.name}", position + 1, len(subject.pipeline))
    return tuple(found)


def _leave_out(stages: Stages, whole: Built, position: int) -> Without:
    subject = stages.subject
    if not subject.stages[position].record.outcome.rewritten:
        return Without(whole, None)
    label = f"without {subject.pipeline[position].name}"
    try:
        kept = (*subject.stages[:position], *_rest(subject, position))
        graph = kept[-1].graph_module if kept else subject.captured.graph_module
        if reason := _left(graph, subject.graphs[-1]):
            return Without(None, reason)
        built = stages.build(label, graph, judge(subject.captured.graph_module, kept))
    except ParityError:
        raise
    except EfcompileError as error:
        return Without(None, f"{label}, the rest fails: {type(error).__name__}: {error}")
    if reason := _more(built.leftovers, whole.leftovers):
        return Without(None, reason)
    return Without(built, None)


def _rest(subject: Subject, position: int) -> list[Stage]:
    """The stages of the passes after `position` on the graph before it.  Not compared after
    every pass: what comes out is compared as a whole."""
    graph, inputs = subject.graphs[position], subject.captured.example_inputs
    return run_pipeline(graph, inputs, subject.pipeline[position + 1 :], verify=False)


def _left(graph: GraphModule, whole: GraphModule) -> str | None:
    return _more(account(graph).leftovers, account(whole).leftovers)


def _more(without: Sequence[str], whole: Sequence[str]) -> str | None:
    count = len(without) - len(whole)
    if count <= 0:
        return None
    first = next(entry for entry in without if entry not in whole)
    return f"without it {count} more operation(s) have no kernel of ours, first {first}"
