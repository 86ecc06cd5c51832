"""Channel numbers through chains of views."""

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from efcompile.passes.channels import (
    AVERAGING,
    MOVEMENT,
    by_channel,
    chain_to,
    follow,
    numbered,
    readers,
)
from tests.passes.dialect import captured, image


class Views(nn.Module):
    """A projection whose result is cut, moved and averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(x).reshape(2, 5, 3, 2)  # channel = 2 head + place
        result: Tensor = y.permute(0, 2, 1, 3)[:, 1:].mean(2).exp()
        return result


def _graph() -> GraphModule:
    return captured(Views(), image(2, 5, 4))


def _only(graph_module: GraphModule, name: str) -> Node:
    (node,) = [n for n in graph_module.graph.nodes if str(n.target).startswith(f"aten.{name}.")]
    result: Node = node
    return result


def test_numbers_arrive_where_the_values_do() -> None:
    graph_module = _graph()
    chain = chain_to(_only(graph_module, "mean"), AVERAGING)
    assert chain.source is _only(graph_module, "linear")
    assert chain.private
    labels = follow(chain, 2, AVERAGING)
    assert labels is not None
    assert labels.tolist() == [[[2, 3], [4, 5]]] * 2


def test_a_mean_over_channels_has_no_numbers() -> None:
    class Mixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * 2).mean(1)

    graph_module = captured(Mixed(), image(2, 5, 4))
    chain = chain_to(_only(graph_module, "mean"), AVERAGING)
    assert follow(chain, 1, AVERAGING) is None
    assert follow(chain, 2, AVERAGING) is not None


def test_a_pool_that_counts_its_padding_is_no_average() -> None:
    for counted in (False, True):
        pool = nn.AvgPool2d(3, 1, 1, count_include_pad=counted)
        graph_module = captured(nn.Sequential(nn.Conv2d(2, 3, 1), pool), image(1, 2, 6, 6))
        chain = chain_to(_only(graph_module, "avg_pool2d"), AVERAGING)
        assert (follow(chain, 1, AVERAGING) is None) == counted


def test_by_channel_wants_one_number_each() -> None:
    labels = torch.tensor([[[0, 0], [2, 2]], [[0, 0], [2, 2]]])
    found = by_channel(labels, 1)
    assert found is not None and found.tolist() == [0, 2]
    assert by_channel(labels, 2) is None


def test_readers_are_found_behind_views() -> None:
    graph_module = _graph()
    linear, exp = _only(graph_module, "linear"), _only(graph_module, "exp")
    found = list(readers(linear, numbered(linear, 2), AVERAGING))
    assert [(reader, operand) for reader, operand, _ in found] == [(exp, exp.args[0])]
    (reader, _, labels) = next(readers(linear, numbered(linear, 2), MOVEMENT))
    assert reader is _only(graph_module, "mean")
    assert labels is not None and sorted(set(labels.flatten().tolist())) == [2, 3, 4, 5]
