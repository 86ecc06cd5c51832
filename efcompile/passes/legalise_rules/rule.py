"""What a legalise rule is: when it does not apply, and the dialect ops it builds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from efcompile import ops
from efcompile.passes.base import add_constant, constant
from efcompile.passes.rewriting import emit, emit_reshape, shape


@dataclass(frozen=True)
class Site:
    """An ATen node about to become dialect ops, and the tools to build them in its place."""

    graph_module: GraphModule
    node: Node

    @property
    def args(self) -> dict[str, Any]:
        """The node's arguments by schema name, defaults filled in."""
        return ops.arguments(self.node)

    @property
    def x(self) -> Node:
        """The first operand."""
        first = self.node.args[0]
        assert isinstance(first, Node)
        return first

    def value(self, node: object) -> Tensor | None:
        """The compile-time tensor behind `node`: a constant, or what is computed from constants
        only (a reshaped weight)."""
        if not isinstance(node, Node) or not _is_known(node):
            return None
        return self._evaluated(node, {})

    def _evaluated(self, node: Node, done: dict[Node, Tensor]) -> Tensor:
        found = constant(self.graph_module, node)
        if found is not None:
            return found
        if node not in done:
            args, kwargs = map_arg((node.args, node.kwargs), lambda n: self._evaluated(n, done))
            with torch.no_grad():
                done[node] = node.target(*args, **kwargs)  # type: ignore[operator]
        return done[node]

    def known(self, node: Node | None) -> Node | None:
        """A parameter as one constant node, if it is not yet (see `value`)."""
        if node is None or node.op == "get_attr":
            return node
        value = self.value(node)
        assert value is not None
        return self.constant(node.name, value)

    def emit(self, op: str, *args: Any) -> Node:
        """A dialect op in front of the node."""
        return emit(self.graph_module, self.node, op, *args, origins=(self.node,))

    def reshape(self, x: Node, result: Sequence[int]) -> Node:
        """`x` with another shape."""
        return emit_reshape(self.graph_module, self.node, x, tuple(result), (self.node,))

    def permute(self, x: Node, dims: Sequence[int]) -> Node:
        """`x` permuted; `x` itself if the order stays."""
        return x if list(dims) == list(range(len(dims))) else self.emit("permute", x, list(dims))

    def constant(self, hint: str, tensor: Tensor) -> Node:
        """A new compile-time tensor, contiguous, owning its memory."""
        return add_constant(self.graph_module, hint, tensor.detach().clone())

    def channels_last(self, x: Node) -> Node:
        """[N, C, ...] -> [N, ..., C]."""
        return self.move(x, 1, len(shape(x)) - 1)

    def channels_first(self, x: Node) -> Node:
        """[N, ..., C] -> [N, C, ...]."""
        return self.move(x, len(shape(x)) - 1, 1)

    def move(self, x: Node, dim: int, to: int) -> Node:
        """`x` with dimension `dim` moved to position `to`."""
        dims = [d for d in range(len(shape(x))) if d != dim]
        dims.insert(to, dim)
        return self.permute(x, dims)


def _is_known(node: Node) -> bool:
    """Whether `node` is a constant, or calls ops on nothing but constants."""
    seen, waiting = {node}, [node]
    while waiting:
        current = waiting.pop()
        if current.op == "get_attr":
            continue
        if current.op != "call_function" or not current.all_input_nodes:
            return False
        waiting += [n for n in current.all_input_nodes if n not in seen]
        seen.update(current.all_input_nodes)
    return True


def never(site: Site) -> str | None:
    """Nothing to refuse."""
    return None


def computed_parameter(site: Site, *names: str) -> str | None:
    """A reason if one of the named parameters is given, but not known at compile time."""
    for name in names:
        if site.args[name] is not None and site.value(site.args[name]) is None:
            return f"its {name} is computed while running"
    return None


@dataclass(frozen=True)
class Rule:
    """`build` returns the node that replaces the site's; `refuse` says why it cannot.

    Results and operands are float32, or the rule is not asked; `any_constant` exempts
    constants (indices, boolean masks), which the rule then looks at itself.
    """

    build: Callable[[Site], Node]
    refuse: Callable[[Site], str | None] = never
    any_constant: bool = False


def wrong_type(site: Site, any_constant: bool) -> str | None:
    """A reason if the node computes in anything but float32: the dialect has no other type."""
    operands = [
        node
        for node in (*site.node.all_input_nodes, site.node)
        if not (any_constant and node.op == "get_attr")
    ]
    for operand in operands:
        value = operand.meta["val"]
        if not isinstance(value, Tensor):
            return "it has several results"
        if value.dtype != torch.float32:
            return f"it computes in {value.dtype}, the dialect in float32"
    return None
