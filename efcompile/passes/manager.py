"""`run_pipeline`: passes one after the other, each checked against the graph it was given."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.fx import GraphModule

from efcompile.capture import propagate
from efcompile.capture.shapes import Known
from efcompile.errors import CaptureError, EfcompileError, PassVerificationError
from efcompile.passes.base import Outcome, Pass
from efcompile.passes.graph_copy import calls, copy_graph
from efcompile.passes.probing import Probes, probes_of, probing
from efcompile.passes.verification import (
    Difference,
    Outputs,
    check_form,
    difference,
    first_difference,
    rounding,
)
from efcompile.steps import step as timed_step

TOLERANCE = 2e-5
"""max|y - ref| / max|ref| that rounding may cause in one exact pass over a whole model."""

_NOISE = 8
"""How many times its own rounding a model may differ where that exceeds `TOLERANCE`: a model
whose outputs nearly cancel is ill-conditioned, and no exact pass can help it."""


@dataclass(frozen=True)
class Record:
    """What one pass did. Errors compare the graph after it with the graph before it, in eager
    PyTorch, the worst of two inputs; they are 0 where nothing was rewritten or verified."""

    nodes_before: int
    nodes_after: int
    outcome: Outcome
    seconds: float
    max_abs_error: float
    relative_error: float
    approximate: bool


@dataclass(frozen=True)
class Stage:
    """The graph after the pass `name`. Stages share constants; do not write into them."""

    name: str
    graph_module: GraphModule
    record: Record


def run_pipeline(
    graph_module: GraphModule,
    example_inputs: Sequence[Tensor],
    passes: Iterable[Pass],
    *,
    hook: Callable[[Stage], None] | None = None,
    verify: bool = True,
) -> list[Stage]:
    """Run `passes` on a copy of `graph_module` and return the stage after each of them.

    After every pass the graph is linted, shapes are propagated, and (with `verify`) its outputs
    on the example and on one random input are compared with those before the pass.  Then
    `hook` gets the stage.  An approximate pass may differ; it becomes the reference for what
    follows.

    Raises `PassVerificationError` naming the pass, and the first node that differs, if an exact
    pass changes the numbers by more than rounding does, or any pass leaves an ill-formed graph.
    """
    with probing(probes_of(example_inputs) if verify else []) as probes:
        return _run_passes(graph_module, example_inputs, passes, hook, probes)


def _run_passes(
    current: GraphModule,
    example_inputs: Sequence[Tensor],
    passes: Iterable[Pass],
    hook: Callable[[Stage], None] | None,
    probes: Probes,
) -> list[Stage]:
    with timed_step("verification"):
        reference = probes.run(current)
    known: Known = {}
    stages: list[Stage] = []
    for step in passes:
        start = time.perf_counter()
        result = copy_graph(current)
        outcome = _rewrite(step, result)
        seconds = time.perf_counter() - start
        worst = Difference(0.0, 0.0)
        approximate = step.exactness == "approximate"
        if not outcome.rewritten:
            _check_unchanged(current, result, step.name)
        else:
            check_form(result, step.name)
            _propagate(result, example_inputs, step.name, known)
            with timed_step("verification"):
                outputs = _run(result, probes, step.name)
                for inputs, got, wanted in zip(probes.inputs, outputs, reference, strict=True):
                    found = difference(got, wanted)
                    if not approximate and not found.relative <= TOLERANCE:
                        _judge(step.name, current, result, inputs, found)
                    worst = max(worst, found, key=lambda d: d.relative)
            reference = outputs
        record = Record(
            nodes_before=calls(current),
            nodes_after=calls(result),
            outcome=outcome,
            seconds=seconds,
            max_abs_error=worst.absolute,
            relative_error=worst.relative,
            approximate=approximate,
        )
        stages.append(Stage(step.name, result, record))
        current = result
        if hook is not None:
            hook(stages[-1])
    return stages


def _rewrite(step: Pass, graph_module: GraphModule) -> Outcome:
    try:
        return step.run(graph_module)
    except EfcompileError:
        raise
    except Exception as error:
        raise PassVerificationError(
            f"pass {step.name} failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        ) from error


def _judge(
    name: str,
    before: GraphModule,
    after: GraphModule,
    inputs: Sequence[Tensor],
    found: Difference,
) -> None:
    """Raise, unless the model magnifies rounding so much that even `found` is no more than that."""
    limit = max(TOLERANCE, _NOISE * rounding(before, inputs))
    if not found.relative <= limit:
        raise PassVerificationError(
            f"pass {name} changed the result by {found.relative:.2e} of its scale "
            f"(limit {limit:.0e}): {first_difference(before, after, inputs, TOLERANCE)}"
        )


def _run(graph_module: GraphModule, probes: Probes, name: str) -> list[Outputs]:
    try:
        return probes.run(graph_module)
    except Exception as error:
        raise PassVerificationError(f"the graph after pass {name} fails: {error}") from error


def _propagate(
    graph_module: GraphModule, inputs: Sequence[Tensor], name: str, known: Known
) -> None:
    try:
        propagate(graph_module, inputs, known)
    except CaptureError as error:
        raise PassVerificationError(
            f"pass {name} left operands that do not fit: {error}"
        ) from error


def _check_unchanged(before: GraphModule, after: GraphModule, name: str) -> None:
    """A pass that reports no rewrite must have left every operation as it was."""
    if calls(before) != calls(after) or before.code != after.code:
        raise PassVerificationError(f"pass {name} changed the graph but reports no rewrite")
