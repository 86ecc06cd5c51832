"""Helpers of the dialect passes' tests: small models to graphs, and one shared checker."""

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from efcompile import ops
from efcompile.capture.captured import capture
from efcompile.capture.shapes import propagate
from efcompile.models.randomize import randomize
from efcompile.passes.base import Outcome, Pass, sources
from efcompile.passes.cancel_reshapes import CancelReshapes
from efcompile.passes.fuse_attention import FuseAttention
from efcompile.passes.fuse_epilogue import FuseEpilogue
from efcompile.passes.legalise import Legalise
from efcompile.passes.pointwise_to_linear import PointwiseToLinear

TOLERANCE = 1e-5


def image(*shape: int, seed: int = 0) -> Tensor:
    """Normal random numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def captured(model: nn.Module, *inputs: Tensor) -> GraphModule:
    """The normal form of `model` with random weights."""
    randomize(model.eval(), example_inputs=tuple(inputs))
    return capture(model, inputs).graph_module


def legalised(model: nn.Module, *inputs: Tensor) -> GraphModule:
    """The dialect graph of `model`, permutes cancelled."""
    return after([Legalise(), CancelReshapes()], captured(model, *inputs))


def with_linears(model: nn.Module, *inputs: Tensor) -> GraphModule:
    """As `legalised`, 1x1 convolutions as linears."""
    return after([PointwiseToLinear()], legalised(model, *inputs))


def with_attention(model: nn.Module, *inputs: Tensor) -> GraphModule:
    """The dialect graph of `model` with its attention fused, then permutes cancelled."""
    passes = [Legalise(), FuseAttention(), CancelReshapes(), PointwiseToLinear()]
    return after(passes, captured(model, *inputs))


def with_epilogues(model: nn.Module, *inputs: Tensor) -> GraphModule:
    """As `with_linears`, activations and residuals fused."""
    return after([FuseEpilogue()], with_linears(model, *inputs))


def after(passes: Sequence[Pass], graph_module: GraphModule) -> GraphModule:
    """`graph_module` with the passes run on it."""
    for step in passes:
        step.run(graph_module)
    return graph_module


def results(graph_module: GraphModule, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The graph's outputs."""
    with torch.no_grad():
        return tuple(graph_module(*inputs))


def check_pass(
    step: Pass, graph_module: GraphModule, *inputs: Tensor, tolerance: float = TOLERANCE
) -> Outcome:
    """Run the pass once and hold everything any pass must keep: numbers (relative to the
    output's scale), shapes, a well-formed graph without dangling constants, sources on every
    node, and that a second run does nothing. Returns the first run's outcome."""
    before = results(graph_module, inputs)
    outcome = step.run(graph_module)
    graph_module.graph.lint()
    for want, got in zip(before, results(graph_module, inputs), strict=True):
        assert want.shape == got.shape
        error = (want - got).abs().max() / want.abs().max()
        assert error < tolerance, f"{step.name}: relative error {error:.1e}"
    check_well_formed(graph_module, inputs)
    again = step.run(graph_module)
    assert again.rewritten == (), "a second run must change nothing"
    assert [r.reason for r in again.refused] == [r.reason for r in outcome.refused]
    return outcome


def check_well_formed(graph_module: GraphModule, inputs: Sequence[Tensor]) -> None:
    """Recorded shapes are the real ones, every constant is read, every call has sources."""
    noted = {n: n.meta["val"].shape for n in graph_module.graph.nodes if n.op != "output"}
    propagate(graph_module, inputs)
    for node, noted_shape in noted.items():
        assert node.meta["val"].shape == noted_shape, node.name
    used = {str(n.target) for n in graph_module.graph.nodes if n.op == "get_attr"}
    assert used == {name for name, _ in graph_module.named_buffers()}
    for node in graph_module.graph.nodes:
        assert node.op != "call_function" or sources(node), f"{node.name} has no sources"


def counts(graph_module: GraphModule) -> dict[str, int]:
    """How often each op occurs: dialect ops by name, ``reshape``, others by overload."""
    return dict(Counter(label(n) for n in graph_module.graph.nodes if n.op == "call_function"))


def label(node: Node) -> str:
    """The dialect op's name, or the ATen packet's."""
    op = ops.op_of(node)
    return op.name if op is not None else str(node.target).split(".")[1]


def only(graph_module: GraphModule, name: str) -> Node:
    """The one node that calls the named op."""
    (node,) = [n for n in graph_module.graph.nodes if n.op == "call_function" and label(n) == name]
    found: Node = node
    return found


def reasons(outcome: Outcome) -> str:
    """All refusals' reasons."""
    return "; ".join(refusal.reason for refusal in outcome.refused)
