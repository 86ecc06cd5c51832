"""What a report is about: a model as captured, and every stage that its passes made of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn
from torch.fx import GraphModule

from efcompile.capture import Captured, capture
from efcompile.kernels.knob_source import SHIPPED, KnobSource
from efcompile.passes.base import Pass
from efcompile.passes.manager import Stage, run_pipeline
from efcompile.report.watch import Watch, silent


@dataclass(frozen=True)
class Subject:
    """`stages` has one entry for each pass of `pipeline`, in its order.  The kernels of all have
    the same `knobs`."""

    name: str
    captured: Captured
    pipeline: tuple[Pass, ...]
    stages: tuple[Stage, ...]
    knobs: KnobSource = SHIPPED

    @cached_property
    def graphs(self) -> tuple[GraphModule, ...]:
        """The captured graph, then the one after each pass; a pass that rewrote nothing has the
        very object before it."""
        found = [self.captured.graph_module]
        for stage in self.stages:
            found.append(stage.graph_module if stage.record.outcome.rewritten else found[-1])
        return tuple(found)

    def judge(self, position: int) -> GraphModule:
        """What ``graphs[position]`` must compute: the captured graph, or the one after the last
        approximate pass up to there, as a pass that may differ is the reference for the rest."""
        return judge(self.captured.graph_module, self.stages[:position])


def judge(captured: GraphModule, stages: Sequence[Stage]) -> GraphModule:
    """The graph that the last of `stages` must agree with; see `Subject.judge`."""
    approximate = [s for s in stages if s.record.approximate and s.record.outcome.rewritten]
    return approximate[-1].graph_module if approximate else captured


def subject_of(
    module: nn.Module,
    inputs: Tensor | Sequence[Tensor] | None,
    pipeline: Sequence[Pass],
    name: str,
    watch: Watch = silent,
    knobs: KnobSource = SHIPPED,
) -> Subject:
    """Capture `module` on example `inputs` and run the passes, each checked numerically.

    Raises what `efcompile.capture.capture` does, and `PassVerificationError` naming a pass that
    changes the numbers.
    """
    captured = capture(module, inputs)
    done: list[Stage] = []

    def tell(stage: Stage) -> None:
        done.append(stage)
        watch("passes", stage.name, len(done), len(pipeline))

    stages = run_pipeline(captured.graph_module, captured.example_inputs, pipeline, hook=tell)
    return Subject(name, captured, tuple(pipeline), tuple(stages), knobs)
