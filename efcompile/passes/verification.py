"""Checks after a pass: form, sources, numbers; and where numbers first differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from efcompile.errors import PassVerificationError
from efcompile.passes.base import source_of, sources
from efcompile.passes.graph_copy import copy_graph

Outputs = Sequence[Tensor]


@dataclass(frozen=True)
class Difference:
    """`absolute` is max|y - ref|, `relative` that over max|ref|; the worst over all outputs."""

    absolute: float
    relative: float


def run_graph(graph_module: GraphModule, inputs: Sequence[Tensor]) -> Outputs:
    """The graph's flat outputs in eager PyTorch."""
    with torch.no_grad():
        outputs: Outputs = graph_module(*inputs)
    return outputs


def difference(got: Outputs, wanted: Outputs) -> Difference:
    """How far `got` is from `wanted`. Equal infinities and NaNs in equal places do not differ;
    unequal ones, or unequal shapes, differ by infinity."""
    worst = Difference(0.0, 0.0)
    for y, reference in zip(got, wanted, strict=True):
        found = _tensor_difference(y, reference)
        if found.relative > worst.relative or found.absolute > worst.absolute:
            worst = found
    return worst


def _tensor_difference(y: Tensor, reference: Tensor) -> Difference:
    if y.shape != reference.shape or y.dtype != reference.dtype:
        return Difference(float("inf"), float("inf"))
    if not reference.is_floating_point():
        wrong = float("inf") if not torch.equal(y, reference) else 0.0
        return Difference(wrong, wrong)
    y, reference = y.double(), reference.double()
    same = (y == reference) | (y.isnan() & reference.isnan())
    gap = torch.where(same, 0.0, (y - reference).abs()).nan_to_num(float("inf"), float("inf"))
    absolute = float(gap.max()) if gap.numel() else 0.0
    finite = reference[reference.isfinite()].abs()
    scale = float(finite.max()) if finite.numel() else 0.0
    return Difference(absolute, absolute / scale if scale > 0 else absolute)


def check_form(graph_module: GraphModule, name: str) -> None:
    """Raise `PassVerificationError` naming pass `name` if the graph is ill-formed, a constant is
    missing or unused, or a node lost the modules it came from."""
    try:
        graph_module.graph.lint()
    except Exception as error:
        first = str(error).splitlines()[0]
        raise PassVerificationError(f"pass {name} left an ill-formed graph: {first}") from error
    used = {str(n.target) for n in graph_module.graph.nodes if n.op == "get_attr"}
    stored = set(dict(graph_module.named_buffers())) | set(dict(graph_module.named_parameters()))
    if used != stored:
        odd = ", ".join(sorted(used ^ stored))
        raise PassVerificationError(f"pass {name} left constants missing or unused: {odd}")
    for node in graph_module.graph.nodes:
        if node.op == "call_function" and not sources(node):
            raise PassVerificationError(
                f"pass {name} made node {node.name} ({node.target}) without saying which of the "
                "model's modules it comes from"
            )


def rounding(graph_module: GraphModule, inputs: Sequence[Tensor]) -> float:
    """How much of its scale float32 rounding costs the graph on these inputs, measured against
    float64."""
    exact = copy_graph(graph_module)
    for name, value in list(exact.named_buffers()):
        if value.is_floating_point():
            setattr(exact, name, value.double())
    wanted = run_graph(exact, [x.double() for x in inputs])
    got = [y.double() if y.is_floating_point() else y for y in run_graph(graph_module, inputs)]
    return difference(got, wanted).relative


def first_difference(
    before: GraphModule, after: GraphModule, inputs: Sequence[Tensor], tolerance: float
) -> str:
    """The first node of `after` that also stands in `before` but computes something else, and
    the new nodes it reads, for a message.

    A node may rightly differ where a pass moved work past it: then what is computed from it
    agrees again, and it is not the one.
    """
    old, new = node_values(before, inputs), node_values(after, inputs)
    wrong: dict[Node, bool] = {}
    suspects: list[Node] = []
    for node in reversed(after.graph.nodes):
        reference, value = old.get(node.name), new.get(node.name)
        wrong[node] = node.op == "output" or any(wrong[user] for user in node.users)
        if node.op != "call_function" or reference is None or value is None:
            continue
        if difference([value], [reference]).relative <= tolerance:
            wrong[node] = False
        elif wrong[node]:
            suspects.append(node)
    if not suspects:
        last = [n for n in after.graph.nodes if n.op == "call_function"][-1]
        return f"no node kept its name and differs; the graph ends with {_describe(last)}"
    fresh = [n for n in _ancestors(suspects[-1]) if n.name not in old]
    reads = f", which reads new {_describe(fresh[0])}" if fresh else ""
    return f"the first node that differs is {_describe(suspects[-1])}{reads}"


def _describe(node: Node) -> str:
    return f"{node.name} ({node.target}, from {source_of(node)})"


def _ancestors(node: Node) -> list[Node]:
    """What `node` depends on, nearest first."""
    found: dict[Node, None] = {}
    waiting = list(node.all_input_nodes)
    while waiting:
        current = waiting.pop(0)
        if current not in found and current.op == "call_function":
            found[current] = None
            waiting.extend(current.all_input_nodes)
    return list(found)


class _Recorder(Interpreter):
    """Runs a graph and keeps every tensor it computes, by node name."""

    def __init__(self, graph_module: GraphModule) -> None:
        super().__init__(graph_module, garbage_collect_values=False)
        self.seen: dict[str, Tensor] = {}

    def run_node(self, n: Node) -> Any:
        with torch.no_grad():
            value = super().run_node(n)
        if isinstance(value, Tensor):
            self.seen[n.name] = value
        return value


def node_values(graph_module: GraphModule, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
    """Every tensor that the graph computes in eager PyTorch, its inputs included, by node name."""
    recorder = _Recorder(graph_module)
    recorder.run(*inputs)
    return recorder.seen
