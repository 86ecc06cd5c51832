from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch.fx import Graph, GraphModule

from efcompile.errors import PassVerificationError
from efcompile.passes.base import (
    Match,
    Pass,
    add_constant,
    clean,
    constant,
    set_sources,
    sources,
)

NEG = torch.ops.aten.neg.default


@dataclass(frozen=True)
class CancelNegations(Pass):
    """neg(neg(x)) -> x; refuses a pair whose inner value is used elsewhere."""

    name = "cancel-negations"
    summary = "cancel pairs of negations"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        for node in graph_module.graph.nodes:
            if node.target is NEG and getattr(node.args[0], "target", None) is NEG:
                yield Match(node, {"inner": node.args[0]})

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        return "the inner value is used elsewhere" if len(match.nodes["inner"].users) > 1 else None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        match.anchor.replace_all_uses_with(match.nodes["inner"].all_input_nodes[0])
        graph_module.graph.erase_node(match.anchor)
        graph_module.graph.erase_node(match.nodes["inner"])
        return "cancelled"


@dataclass(frozen=True)
class Restless(Pass):
    """Claims a rewrite for ever."""

    name = "restless"
    summary = "never settles"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        yield Match(next(n for n in graph_module.graph.nodes if n.op == "call_function"))

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        return "nothing, again"


def _negations(count: int, extra_user: bool = False) -> GraphModule:
    graph = Graph()
    node = graph.placeholder("x")
    first = None
    for i in range(count):
        node = graph.call_function(NEG, (node,))
        node.meta["custom"] = {"source": (f"layer{i}",)}
        first = first or node
    graph.output((node, first) if extra_user else (node,))
    return GraphModule(torch.nn.Module(), graph)


def test_runs_to_a_fixed_point_and_then_changes_nothing() -> None:
    graph_module = _negations(5)
    outcome = CancelNegations().run(graph_module)
    assert outcome.rewritten == ("cancelled", "cancelled") and outcome.refused == ()
    assert sum(n.target is NEG for n in graph_module.graph.nodes) == 1
    assert CancelNegations().run(graph_module).rewritten == ()
    x = torch.randn(3)
    torch.testing.assert_close(graph_module(x)[0], -x)


def test_keeps_the_reason_of_a_refusal_with_its_place() -> None:
    graph_module = _negations(2, extra_user=True)
    outcome = CancelNegations().run(graph_module)
    assert outcome.rewritten == ()
    (refusal,) = outcome.refused
    assert refusal.source == "layer1" and "elsewhere" in refusal.reason


def test_a_pass_that_never_settles_is_an_error() -> None:
    with pytest.raises(PassVerificationError, match=r"restless did not settle.*nothing, again"):
        Restless().run(_negations(1))


def test_constants_get_fresh_names_and_go_when_unused() -> None:
    graph_module = _negations(1)
    first = add_constant(graph_module, "a.b", torch.ones(2))
    second = add_constant(graph_module, "a.b", torch.zeros(2))
    assert (first.target, second.target) == ("a_b", "a_b_1")
    value = constant(graph_module, first)
    assert value is not None and value.tolist() == [1.0, 1.0]
    assert constant(graph_module, 3) is None
    clean(graph_module)
    assert not hasattr(graph_module, "a_b") and not hasattr(graph_module, "a_b_1")


def test_sources_are_a_union_in_order() -> None:
    graph_module = _negations(3)
    one, two, three = (n for n in graph_module.graph.nodes if n.target is NEG)
    set_sources(three, two, one, two)
    assert sources(three) == ("layer1", "layer0")
