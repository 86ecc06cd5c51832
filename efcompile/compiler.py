"""The whole compiler as a list of steps: passes over what was captured, then lowering."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.utils import _pytree as pytree

from efcompile.capture import Captured
from efcompile.capture.isolation import isolated_copy
from efcompile.kernels.knob_source import KnobSource
from efcompile.lowering.lower import lower
from efcompile.lowering.program import Program
from efcompile.passes.base import Pass
from efcompile.passes.legalise import Legalise
from efcompile.passes.manager import Stage, run_pipeline
from efcompile.steps import step
from efcompile.targets.target import Target


@dataclass(frozen=True)
class Compilation:
    """What compiling left behind: every stage, and the program."""

    stages: tuple[Stage, ...]
    program: Program
    reference: Callable[[Sequence[Tensor]], Sequence[Tensor]]
    """What the program must compute, as flat tensors: the user's module in eval mode, or the
    graph after the last approximate pass that changed it."""


def compile_model(
    model: nn.Module,
    captured: Captured,
    target: Target,
    pipeline: Sequence[Pass],
    name: str,
    hook: Callable[[Stage], None] | None = None,
    knobs: KnobSource | None = None,
) -> Compilation:
    """Compile `model`, of which `captured` was made, for `target` through `pipeline`; `hook` sees
    every stage as it is made, and `knobs` are the kernels' (default: what ships)."""
    with step("passes"):
        stages = run_pipeline(captured.graph_module, captured.example_inputs, pipeline, hook=hook)
    with step("lowering"):
        last = stages[-1].graph_module
        program = lower(last, target, name, knobs, captured.example_inputs)
    return Compilation(tuple(stages), program, _reference(model, stages))


def _reference(
    model: nn.Module, stages: Sequence[Stage]
) -> Callable[[Sequence[Tensor]], Sequence[Tensor]]:
    approximate = [s for s in stages if s.record.approximate and s.record.outcome.rewritten]
    judge = approximate[-1].graph_module if approximate else isolated_copy(model)

    def run(inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        with torch.inference_mode():
            outputs: list[Tensor] = pytree.tree_leaves(judge(*inputs))
        return outputs

    return run


def lower_stage(
    graph_module: GraphModule,
    example_inputs: tuple[Tensor, ...],
    target: Target,
    name: str,
    knobs: KnobSource | None = None,
    *,
    verify: bool = True,
) -> Program:
    """Lower any stage, the captured graph included: what is not yet in the dialect is
    legalised first, and nothing else is done to it, so that every stage runs in our kernels.
    `knobs` are `lower`'s; `verify` has what legalising changed compared in eager, as after any
    pass."""
    stages = run_pipeline(graph_module, example_inputs, (Legalise(),), verify=verify)
    return lower(stages[-1].graph_module, target, name, knobs, example_inputs)
