"""The graph under construction: emits canonical nodes with shapes and sources."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from efcompile.capture.shapes import as_meta, evaluate

aten = torch.ops.aten


class Builder:
    """A `GraphModule` being written front to back.

    `sources` is the origin that the next emitted nodes get. Nodes carry a meta tensor in
    ``meta["val"]``. The movement helpers return their operand where there is nothing to do.
    """

    def __init__(self) -> None:
        self.graph = Graph()
        self.graph_module = GraphModule(torch.nn.Module(), self.graph)
        self.graph = self.graph_module.graph
        self.sources: tuple[str, ...] = ()
        self._constants: dict[str, Node] = {}

    def placeholder(self, name: str, value: Tensor) -> Node:
        """An input of the graph."""
        node = self.graph.placeholder(name)
        node.meta["val"] = as_meta(value)
        return node

    def constant(self, path: str, value: Tensor) -> Node:
        """The node of a parameter, buffer or other tensor, by its path in the model. It is
        registered as a buffer under the path with underscores for dots."""
        if path not in self._constants:
            name = path.replace(".", "_")
            while hasattr(self.graph_module, name):
                name += "_"
            self.graph_module.register_buffer(name, value.detach().contiguous())
            node = self.graph.get_attr(name)
            node.meta["val"] = as_meta(value)
            node.meta["custom"] = {"source": (path.rpartition(".")[0] or path,)}
            self._constants[path] = node
        return self._constants[path]

    def literal(self, value: Tensor) -> Node:
        """The node of a tensor that the model makes out of nothing while it runs."""
        node = self.constant(f"literal_{len(self._constants)}", value)
        node.meta["custom"] = {"source": self.sources}
        return node

    def value_of(self, node: object) -> Tensor | None:
        """The tensor behind a constant node; None for anything else."""
        if not isinstance(node, Node) or node.op != "get_attr":
            return None
        value = getattr(self.graph_module, str(node.target))
        assert isinstance(value, Tensor)
        return value

    def emit(self, target: Any, *args: Any, **kwargs: Any) -> Node:
        """A call of `target` at the end of the graph."""
        value = evaluate(target, args, kwargs)
        plain = target._schema.name.partition("::")[2] if hasattr(target, "_schema") else None
        node = self.graph.create_node("call_function", target, args, kwargs, name=plain)
        node.meta["val"] = value
        node.meta["custom"] = {"source": self.sources}
        return node

    def reshape(self, x: Node, shape: Sequence[int]) -> Node:
        """`x` reshaped to the concrete `shape`."""
        if tuple(shape) == shape_of(x):
            return x
        return self.emit(aten.reshape.default, x, [int(d) for d in shape])

    def permute(self, x: Node, dims: Sequence[int]) -> Node:
        """`x` with dimensions in the order `dims`, which may be negative."""
        rank = len(shape_of(x))
        order = [d % rank for d in dims]
        return x if order == list(range(rank)) else self.emit(aten.permute.default, x, order)

    def cut(self, x: Node, dim: int, start: int | None, end: int | None, step: int = 1) -> Node:
        """``x[..., start:end:step, ...]`` on `dim`, with Python's rules for the bounds."""
        dim %= len(shape_of(x))
        size = shape_of(x)[dim]
        start, end, step = slice(start, end, step).indices(size)
        if (start, end, step) == (0, size, 1):
            return x
        return self.emit(aten.slice.Tensor, x, dim, start, max(start, end), step)

    def pick(self, x: Node, dim: int, index: int) -> Node:
        """``x.select(dim, index)`` as a slice and a reshape."""
        shape = list(shape_of(x))
        dim %= len(shape)
        index %= shape[dim]
        del shape[dim]
        return self.reshape(self.cut(x, dim, index, index + 1), shape)


def shape_of(node: Node) -> tuple[int, ...]:
    """Shape of a node's value."""
    return tuple(node.meta["val"].shape)
