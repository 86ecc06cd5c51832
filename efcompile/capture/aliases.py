"""Which traced values share memory, so that in-place operations can be made functional."""

from collections.abc import Mapping
from typing import Any

from torch._ops import OpOverload
from torch.fx import Graph, Node

# Their schemas promise a new tensor, but at inference they may return their operand.
_RETURNS_OPERAND = ("aten.dropout.default", "aten.feature_dropout.default")


class ViewWrite(Exception):
    """An in-place operation writes to memory that a later operation reads under another name."""


class Aliases:
    """Groups of nodes that may share memory, by the schemas of the operators."""

    def __init__(self, graph: Graph) -> None:
        self._group: dict[Node, set[Node]] = {}
        self._order = {node: position for position, node in enumerate(graph.nodes)}
        for node in graph.nodes:
            group = {node}
            for operand in _shared_operands(node):
                group |= self._group[operand]
            for member in group:
                self._group[member] = group

    def written(self, node: Node, values: Mapping[Node, Any]) -> list[Node]:
        """The nodes whose later readers must read what in-place `node` computes: its operand and
        whatever is the very same tensor, that is, has the same entry in `values`.

        Raises `ViewWrite` if the memory belongs to an input or a constant, or if something
        later reads it through another view.
        """
        operand = node.args[0]
        assert isinstance(operand, Node)
        same: list[Node] = []
        for member in self._group[operand]:
            if member.op != "call_function":
                raise ViewWrite(node.name)
            if self._order[member] >= self._order[node]:
                continue
            if values[member] is values[operand]:
                same.append(member)
            elif any(self._order[user] > self._order[node] for user in member.users):
                raise ViewWrite(node.name)
        return same


def _shared_operands(node: Node) -> list[Node]:
    """Operands whose memory the result of `node` may share."""
    operands = node.all_input_nodes
    if node.op != "call_function":
        return []
    if not isinstance(node.target, OpOverload):
        return operands  # getitem
    if str(node.target) in _RETURNS_OPERAND:
        return operands[:1]
    if str(node.target) == "aten.contiguous.default":
        return [x for x in operands if x.meta["val"].is_contiguous()]
    shares = any(result.alias_info is not None for result in node.target._schema.returns)
    return operands if shares else []
