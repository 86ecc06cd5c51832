"""Copies of graphs that share their constants."""

from torch.fx import Graph, GraphModule, Node


def copy_graph(graph_module: GraphModule) -> GraphModule:
    """A copy of the graph, node names and metadata included.

    Its constants are the same tensors, so a copy costs no memory to speak of; passes replace
    constants and never write into one.
    """
    graph = Graph()
    nodes: dict[Node, Node] = {}
    graph.output(graph.graph_copy(graph_module.graph, nodes))
    return GraphModule(graph_module, graph)


def calls(graph_module: GraphModule) -> int:
    """How many operations a graph has (inputs, constants and the output do not count)."""
    return sum(node.op == "call_function" for node in graph_module.graph.nodes)
