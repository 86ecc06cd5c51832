"""Faults planted into passes, for what has to find them."""

from dataclasses import dataclass

import torch
from torch.fx import GraphModule

from efcompile.capture import capture
from efcompile.models.randomize import randomize
from efcompile.passes.base import Outcome, Pass, sources
from efcompile.passes.fold_batchnorm import FoldBatchnorm
from efcompile.passes.manager import run_pipeline
from efcompile.passes.pipeline import PIPELINE, build_pipeline
from efcompile.report.subject import Subject
from tests.report.blocks import CHANNELS, SIDE, Blocks


@dataclass(frozen=True)
class Spoilt(FoldBatchnorm):
    """fold-batchnorm, but one folded weight of `module` comes out `by` too large."""

    module: str = "body.1.conv"
    by: float = 0.5

    def run(self, graph_module: GraphModule) -> Outcome:
        """Fold, then change one element of one constant."""
        outcome = super().run(graph_module)
        for node in graph_module.graph.nodes:
            if node.op == "call_function" and self.module in sources(node) and outcome.rewritten:
                name = str(node.args[1].target)
                weight = getattr(graph_module, name).clone()
                weight.view(-1)[7] += self.by
                setattr(graph_module, name, weight)
        return outcome


def spoilt_pipeline(**options: object) -> tuple[Pass, ...]:
    """The default pipeline with `Spoilt` in place of fold-batchnorm."""
    return tuple(
        Spoilt(**options) if step.name == "fold-batchnorm" else step  # type: ignore[arg-type]
        for step in PIPELINE
    )


def unverified(*passes: Pass | str) -> Subject:
    """`Blocks` through `passes` (default: all), whatever they do to the numbers."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, CHANNELS, SIDE, SIDE, generator=generator)
    captured = capture(randomize(Blocks().eval()), x)
    pipeline = build_pipeline(passes or None)
    stages = run_pipeline(captured.graph_module, captured.example_inputs, pipeline, verify=False)
    return Subject("blocks", captured, pipeline, tuple(stages))


def blocks() -> Blocks:
    """`Blocks` with random weights, for the command line."""
    return randomize(Blocks().eval())
