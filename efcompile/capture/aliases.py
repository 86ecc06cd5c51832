"""Which traced values share memory, so that in-place operations can be made functional."""

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

    def written(self, node: Node) -> Node:
        """The operand that in-place `node` writes; from here on, its readers read `node`.

        Raises `ViewWrite` if the memory belongs to an input or a constant, or if something
        later reads it through another view.
        """
        operand = node.args[0]
        assert isinstance(operand, Node)
        for member in self._group[operand]:
            if member.op != "call_function":
                raise ViewWrite(node.name)
            later = any(self._order[user] > self._order[node] for user in member.users)
            if later and member is not operand and self._order[member] < self._order[node]:
                raise ViewWrite(node.name)
        return operand


def _shared_operands(node: Node) -> list[Node]:
    """Operands whose memory the result of `node` may share."""
    operands = [x for x in node.all_input_nodes if x.op != "output"]
    if node.op != "call_function":
        return []
    if not isinstance(node.target, OpOverload):
        return operands  # getitem
    if str(node.target) in _RETURNS_OPERAND:
        return operands[:1]
    shares = any(result.alias_info is not None for result in node.target._schema.returns)
    return operands if shares else []
