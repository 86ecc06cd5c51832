"""What the manager checks after a pass."""

import math

import pytest
import torch
from torch import nn
from torch.fx import GraphModule

from efcompile.errors import PassVerificationError
from efcompile.passes.base import add_constant
from efcompile.passes.graph_copy import copy_graph
from efcompile.passes.verification import check_form, difference, first_difference, rounding
from tests.passes.dialect import captured, image


def _graph() -> GraphModule:
    return captured(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), image(2, 4))


def test_difference_is_relative_to_the_outputs_scale() -> None:
    found = difference([torch.tensor([1.0, -8.5])], [torch.tensor([1.0, -8.0])])
    assert found.absolute == 0.5 and found.relative == 0.0625
    worst = difference([torch.zeros(2), torch.ones(2)], [torch.zeros(2), torch.full((2,), 2.0)])
    assert worst.relative == 0.5


def test_equal_nans_and_infinities_do_not_differ() -> None:
    odd = torch.tensor([math.nan, math.inf, -math.inf, 2.0])
    assert difference([odd.clone()], [odd]).relative == 0
    assert math.isinf(difference([torch.tensor([math.inf])], [torch.tensor([1.0])]).relative)
    assert math.isinf(difference([torch.tensor([math.nan])], [torch.tensor([1.0])]).relative)
    assert math.isinf(difference([torch.tensor([1.0])], [torch.tensor([math.nan])]).relative)


def test_other_shapes_types_and_integers_differ() -> None:
    one = torch.ones(2)
    assert math.isinf(difference([torch.ones(1)], [one]).relative)
    assert math.isinf(difference([one.double()], [one]).relative)
    assert math.isinf(difference([one.long()], [torch.zeros(2).long()]).relative)
    assert difference([one.long()], [one.long()]).relative == 0
    assert difference([one], [torch.zeros(2)]).relative == 1


def test_a_sound_graph_passes() -> None:
    check_form(_graph(), "some-pass")


def test_lost_sources_are_reported() -> None:
    graph_module = _graph()
    node = next(n for n in graph_module.graph.nodes if n.op == "call_function")
    node.meta["custom"] = {}
    with pytest.raises(PassVerificationError, match=r"some-pass .* linear .*modules"):
        check_form(graph_module, "some-pass")


def test_unused_constants_are_reported() -> None:
    graph_module = _graph()
    add_constant(graph_module, "spare", torch.ones(1))
    graph_module.graph.eliminate_dead_code()
    with pytest.raises(PassVerificationError, match="spare"):
        check_form(graph_module, "some-pass")


def test_ill_formed_graphs_are_reported() -> None:
    graph_module = _graph()
    first, *_, last = [n for n in graph_module.graph.nodes if n.op == "call_function"]
    last.append(first)
    with pytest.raises(PassVerificationError, match="some-pass left an ill-formed graph"):
        check_form(graph_module, "some-pass")


def test_the_first_node_that_differs_is_named_with_its_module() -> None:
    before = _graph()
    after = copy_graph(before)
    relu = next(n for n in after.graph.nodes if str(n.target) == "aten.relu.default")
    with after.graph.inserting_before(relu):
        new = after.graph.call_function(torch.ops.aten.neg.default, (relu.args[0],))
    new.meta["custom"] = {"source": ("planted",)}
    relu.replace_input_with(relu.args[0], new)
    after.recompile()
    found = first_difference(before, after, [image(2, 4)], 1e-5)
    assert "relu (aten.relu.default, from 1)" in found
    assert "reads new neg_default (aten.neg.default, from planted)" in found


def test_a_node_that_work_moved_past_is_not_blamed() -> None:
    """The scale moves from behind `relu` to before it, which relu's readers do not see; the
    planted mistake comes later."""

    class Moved(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return ((x * 1.0).relu() * 2.0).exp().tanh()

    before = captured(Moved(), image(2, 4))
    after = copy_graph(before)
    first, _, second, exp, tanh = [n for n in after.graph.nodes if n.op == "call_function"]
    first.args, second.args = (first.args[0], 2.0), (second.args[0], 1.0)
    with after.graph.inserting_before(tanh):
        wrong = after.graph.call_function(torch.ops.aten.neg.default, (exp,))
    wrong.meta["custom"] = {"source": ("planted",)}
    tanh.replace_input_with(exp, wrong)
    after.recompile()
    found = first_difference(before, after, [image(2, 4)], 1e-5)
    assert "is tanh (" in found and "planted" in found


def test_rounding_is_large_where_results_cancel() -> None:
    class Cancelling(nn.Module):
        def __init__(self, offset: float) -> None:
            super().__init__()
            self.linear, self.offset = nn.Linear(64, 8), offset

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = (self.linear(x) + self.offset) - self.offset
            return result

    x = image(3, 64)
    assert rounding(captured(Cancelling(0.0), x), [x]) < 1e-6
    assert rounding(captured(Cancelling(1e4), x), [x]) > 1e-5
