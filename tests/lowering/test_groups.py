import torch
from torch.fx import Graph, Node

from efcompile.lowering.groups import group_leftovers


def _chain(graph: Graph, source: Node) -> Node:
    return graph.call_function(torch.neg, (source,))


def test_connected_nodes_share_a_group() -> None:
    graph = Graph()
    x = graph.placeholder("x")
    a = _chain(graph, x)
    b = _chain(graph, a)
    c = _chain(graph, x)
    graph.output((b, c))
    groups = group_leftovers(graph, {a, b, c})
    assert groups[a] is groups[b] == [a, b]
    assert groups[c] == [c]


def test_a_value_read_outside_in_between_splits_the_group() -> None:
    graph = Graph()
    x = graph.placeholder("x")
    a = _chain(graph, x)
    outside = graph.call_function(torch.abs, (a,))
    b = graph.call_function(torch.add, (a, outside))
    graph.output((b,))
    groups = group_leftovers(graph, {a, b})
    assert groups[a] == [a] and groups[b] == [b]
