"""A graph for people: one line a node, with shapes and the modules it came from."""

from torch import Tensor
from torch.fx import GraphModule, Node

from efcompile.passes.base import sources


def graph_text(graph_module: GraphModule) -> str:
    """The nodes of a graph, constants left out, in order: ``%name = op(arguments)``, then the
    value's shape, then the source modules."""
    shown = [node for node in graph_module.graph.nodes if node.op != "get_attr"]
    return "\n".join(_line(node) for node in shown)


def _line(node: Node) -> str:
    arguments = ", ".join(_argument(value) for value in node.args)
    if node.op == "output":
        return f"return {arguments}"
    call = "input" if node.op == "placeholder" else f"{node.target}({arguments})"
    origin = ", ".join(sources(node))
    return f"%{node.name} = {call} -> {_shape(node)}" + (f"  # {origin}" if origin else "")


def _argument(value: object) -> str:
    if isinstance(value, Node):
        # A constant's shape says more than its name, which is the weight's.
        return f"{value.target}{_shape(value)}" if value.op == "get_attr" else f"%{value.name}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_argument(item) for item in value)}]"
    return str(value)


def _shape(node: Node) -> str:
    value = node.meta.get("val")
    return str(list(value.shape)) if isinstance(value, Tensor) else "?"
