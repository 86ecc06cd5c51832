"""The manager checks every pass and names the culprit."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from efcompile.capture import capture
from efcompile.errors import PassVerificationError
from efcompile.models.randomize import randomize
from efcompile.models.zoo import create, resolve_model
from efcompile.passes.base import Exactness, Match, Outcome, Pass
from efcompile.passes.fold_batchnorm import FoldBatchnorm
from efcompile.passes.fold_layer_scale import FoldLayerScale
from efcompile.passes.graph_copy import copy_graph
from efcompile.passes.manager import Stage, run_pipeline
from efcompile.passes.pipeline import PIPELINE, STRUCTURAL
from efcompile.passes.rewriting import emit
from tests.passes.dialect import captured, image

aten = torch.ops.aten


class Net(nn.Module):
    """Two convolutions with norms."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.second(self.first(x))
        return result


def _net() -> tuple[GraphModule, tuple[Tensor, ...]]:
    x = image(2, 3, 9, 7)
    return captured(Net(), x), (x,)


@dataclass(frozen=True)
class Planted(Pass):
    """Rewrites relu to something that may be wrong."""

    name: ClassVar[str] = "planted"
    summary: ClassVar[str] = "wrong on purpose"
    function: str = "sigmoid"
    claims: bool = True

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Every relu."""
        for node in graph_module.graph.nodes:
            if node.target is aten.relu.default:
                yield Match(node)

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """Always willing."""
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """Swap the function."""
        node = match.anchor
        target = getattr(aten, self.function).default
        new = emit(graph_module, node, target, node.args[0], origins=(node,))
        node.replace_all_uses_with(new)
        return "relu"

    def run(self, graph_module: GraphModule) -> Outcome:
        """As any pass, but perhaps without saying so."""
        outcome = super().run(graph_module)
        return outcome if self.claims else Outcome((), ())


@dataclass(frozen=True)
class Rough(Planted):
    """The same, but it says that it approximates."""

    name: ClassVar[str] = "rough"
    exactness: ClassVar[Exactness] = "approximate"


def test_stages_records_and_hook() -> None:
    graph_module, inputs = _net()
    seen: list[Stage] = []
    stages = run_pipeline(
        graph_module, inputs, [FoldBatchnorm(), FoldLayerScale()], hook=seen.append
    )
    assert stages == seen
    fold, nothing = (stage.record for stage in stages)
    assert [stage.name for stage in stages] == ["fold-batchnorm", "fold-layer-scale"]
    assert (fold.nodes_before, fold.nodes_after) == (5, 3)
    assert len(fold.outcome.rewritten) == 2 and not fold.approximate
    assert 0 < fold.relative_error < 2e-5 and fold.max_abs_error > 0 and fold.seconds > 0
    assert nothing.outcome.rewritten == () and nothing.max_abs_error == 0
    assert sum(n.op == "call_function" for n in graph_module.graph.nodes) == 5


def test_a_wrong_pass_is_named_with_the_first_node_that_differs() -> None:
    graph_module, inputs = _net()
    with pytest.raises(PassVerificationError) as caught:
        run_pipeline(graph_module, inputs, [FoldBatchnorm(), Planted(), FoldLayerScale()])
    message = str(caught.value)
    assert "pass planted changed the result" in message
    assert "second.0" in message, "the first node that differs is in the second convolution"
    assert "sigmoid" in message, "and reads the planted one"


def test_a_pass_that_breaks_only_other_inputs_is_caught() -> None:
    """On the example every pre-activation is positive, so relu6 and relu are both nothing."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    x = torch.rand(1, 1, 4, 4)
    graph_module = capture(model, x).graph_module
    run_pipeline(graph_module, (x,), [Planted(function="alias")], verify=False)
    with pytest.raises(PassVerificationError, match="planted"):
        run_pipeline(graph_module, (x,), [Planted(function="alias")])


def test_an_approximate_pass_may_differ_and_becomes_the_reference() -> None:
    graph_module, inputs = _net()
    stages = run_pipeline(graph_module, inputs, [Rough(), FoldBatchnorm()])
    rough, fold = (stage.record for stage in stages)
    assert rough.approximate and rough.relative_error > 1e-2
    assert not fold.approximate and fold.relative_error < 2e-5


def test_a_change_that_is_not_reported_is_an_error() -> None:
    graph_module, inputs = _net()
    with pytest.raises(PassVerificationError, match="planted changed the graph but reports no"):
        run_pipeline(graph_module, inputs, [Planted(claims=False)])


def test_operands_that_do_not_fit_are_an_error() -> None:
    @dataclass(frozen=True)
    class Misfit(Planted):
        def rewrite(self, graph_module: GraphModule, match: Match) -> str:
            node = match.anchor
            operand = node.args[0]
            half = emit(graph_module, node, aten.slice.Tensor, operand, 1, 0, 2, 1, origins=(node,))
            node.replace_all_uses_with(half)
            return "cut"

    graph_module, inputs = _net()
    with pytest.raises(PassVerificationError, match="planted left operands that do not fit"):
        run_pipeline(graph_module, inputs, [Misfit()])


def test_a_pass_that_fails_is_named() -> None:
    @dataclass(frozen=True)
    class Unordered(Planted):
        def rewrite(self, graph_module: GraphModule, match: Match) -> str:
            match.anchor.prev.prepend(match.anchor)
            return "moved"

    graph_module, inputs = _net()
    with pytest.raises(PassVerificationError, match="pass planted failed: RuntimeError"):
        run_pipeline(graph_module, inputs, [Unordered()])


class Cancelling(nn.Module):
    """A convolution and norm whose result nearly cancels: float32 hardly carries it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = (self.norm(self.conv(x)) + 3000.0) - 3000.0
        return result


def test_rounding_that_the_model_magnifies_is_no_mistake() -> None:
    x = image(2, 3, 9, 7)
    graph_module = captured(Cancelling(), x)
    (stage,) = run_pipeline(graph_module, (x,), [FoldBatchnorm()])
    assert 2e-5 < stage.record.relative_error < 1e-3


FAMILIES = {
    "efficientformer_l1": 64,
    "efficientformerv2_s0": 64,
    "timm:deit_small_patch16_224": 224,
    "timm:poolformer_s24": 64,
    "timm:levit_256": 224,
    "timm:mobilenetv2_100": 64,
    "timm:mobilevit_xs": 64,
}


@pytest.mark.parametrize("source", FAMILIES)
def test_every_family_keeps_its_numbers_and_a_second_run_changes_nothing(source: str) -> None:
    if source.startswith("timm:") and find_spec("timm") is None:
        pytest.skip("timm is not installed")
    side = FAMILIES[source]
    zoo = not source.startswith("timm:")
    model = create(source, resolution=side) if zoo else resolve_model(source)
    x = image(1, 3, side, side)
    randomize(model.eval())
    start = capture(model, x)
    stages = run_pipeline(start.graph_module, start.example_inputs, PIPELINE)
    structural = stages[len(STRUCTURAL) - 1].graph_module
    left = {str(n.target) for n in structural.graph.nodes if n.op == "call_function"}
    assert not {"aten.batch_norm.default", "aten.index.Tensor"} & left
    with torch.no_grad():
        wanted, (got,) = model(x), stages[-1].graph_module(x)
    assert (got - wanted).abs().max() / wanted.abs().max() < 1e-4
    for step, stage in zip(PIPELINE, stages, strict=True):
        for refusal in stage.record.outcome.refused:
            assert refusal.reason and refusal.where
        again = step.run(copy_graph(stage.graph_module))
        assert again.rewritten == (), step.name
