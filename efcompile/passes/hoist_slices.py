"""hoist-slices: what a later slice throws away is not computed.

Before (a transformer whose head reads the class token only)::

    x [N, T, C] -> linear -> add -> layer_norm -> slice(token 0)

After::

    x [N, T, C] -> slice(token 0) -> linear -> add -> layer_norm

Ops that work on each row (the last dimension) by itself, or each element, swap with a slice of
another dimension; every operand of the result's shape is sliced, broadcast ones only where they
have that dimension. An attention computes only the sliced queries: its q view then starts at
the first and steps on, its bias is sliced. Preconditions: nothing but this slice (and equal ones)
reads the op's result. Exact to the bit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from torch.fx import GraphModule, Node

from efcompile import ops
from efcompile.passes.base import Match, Pass, add_constant, constant
from efcompile.passes.rewriting import changed, emit, is_op, replace, shape

_OPERANDS: dict[str, tuple[str, ...]] = {
    "activation": ("x",),
    "affine": ("x",),
    "binary": ("a", "b"),
    "layer_norm": ("x",),
    "linear": ("x", "residual"),
    "mlp": ("x", "residual"),
    "norm_linear": ("x",),
    "scalar": ("x",),
    "softmax": ("x",),
}
"""Row by row ops and the operands whose rows are the result's."""


@dataclass(frozen=True)
class HoistSlices(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "hoist-slices"
    summary: ClassVar[str] = "rows that a later slice drops are not computed"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Slices of what a row by row op, or an attention, computes."""
        for node in graph_module.graph.nodes:
            if is_op(node, "slice"):
                producer = ops.arguments(node)["x"]
                if is_op(producer, "attention", *_OPERANDS):
                    yield Match(node, {"producer": producer})

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """The rest of the rows has no reader."""
        piece, producer = match.anchor, match.nodes["producer"]
        dim, rank = _bounds(piece)[0], len(shape(piece))
        if dim == rank - 1:
            return "it slices the rows themselves"
        if is_op(producer, "attention") and dim != 1:
            return "it slices the images, not the queries"
        if any(not is_op(user, "slice") for user in producer.users):
            return f"other readers need all of {producer.name}"
        if len({_bounds(user) for user in producer.users}) != 1:
            return f"other slices of {producer.name} differ"
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """The op on sliced operands."""
        piece, producer = match.anchor, match.nodes["producer"]
        if is_op(producer, "attention"):
            new = _fewer_queries(graph_module, piece, producer)
        else:
            op = ops.op_of(producer)
            assert op is not None
            operands = {name: ops.arguments(producer)[name] for name in _OPERANDS[op.name]}
            sliced = {
                name: _sliced(graph_module, operand, piece, producer)
                for name, operand in operands.items()
                if operand is not None
            }
            new = changed(graph_module, piece, producer, (producer, piece), **sliced)
        for user in list(producer.users):
            replace(user, new)
            graph_module.graph.erase_node(user)
        return f"a slice in front of {producer.name}"


def _bounds(piece: Node) -> tuple[int, int, int, int]:
    arguments = ops.arguments(piece)
    dim = arguments["dim"] % len(shape(piece))
    return dim, arguments["start"], arguments["end"], arguments["step"]


def _sliced(graph_module: GraphModule, operand: Node, piece: Node, producer: Node) -> Node:
    """`operand` cut as `piece` cuts the producer's result, to which it broadcasts."""
    dim, start, end, step = _bounds(piece)
    own = dim - (len(shape(piece)) - len(shape(operand)))
    if own < 0 or shape(operand)[own] != shape(producer)[dim]:
        return operand
    value = constant(graph_module, operand)
    if value is not None:
        rows = value.movedim(own, 0)[start:end:step].movedim(0, own)
        return add_constant(graph_module, str(operand.target), rows)
    return emit(
        graph_module, piece, "slice", operand, own, start, end, step, origins=(operand, piece)
    )


def _fewer_queries(graph_module: GraphModule, piece: Node, attention: Node) -> Node:
    _, start, _, step = _bounds(piece)
    arguments = ops.arguments(attention)
    batch, heads, _, *others = arguments["sizes"]
    offset, along_batch, along_head, along_query, along_dim = arguments["q_view"]
    changes: dict[str, Any] = {
        "sizes": [batch, heads, shape(piece)[1], *others],
        "q_view": [
            offset + start * along_query, along_batch, along_head, step * along_query, along_dim
        ],
    }  # fmt: skip
    bias = arguments["bias"]
    if bias is not None and shape(bias)[2] != 1:
        value = constant(graph_module, bias)
        assert value is not None
        rows = value[:, :, _bounds(piece)[1] : _bounds(piece)[2] : step]
        changes["bias"] = add_constant(graph_module, str(bias.target), rows)
    return changed(graph_module, piece, attention, (attention, piece), **changes)
