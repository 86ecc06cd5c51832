"""How a rearrangement of an operand moves behind the op that reads it.

One rule per dialect op: given a node whose operand is a chain, the rule builds the op on the
chain's root and the chain behind it, and returns that last node; or None if this op has to
see the rearranged operand. Rules are tables of facts about ops (which dimensions may stand in
another order), so they never look at what comes later in the graph.
"""

from collections.abc import Callable
from math import prod
from typing import Any

from torch.fx import GraphModule, Node

from efcompile import ops
from efcompile.passes.chains import Chain, trace, write
from efcompile.passes.rearrangement import Rearrangement
from efcompile.passes.rewriting import changed, shape

Sink = Callable[[GraphModule, Node], Node | None]

_SMALL = 8
"""An operand this many times smaller than the result may be rearranged to spare the result."""


def _behind(
    graph_module: GraphModule, node: Node, chain: Rearrangement, operand: str, **changes: Any
) -> Node:
    """`node` on its operand's root, then `chain`."""
    root = trace(ops.arguments(node)[operand]).root
    moved = changed(graph_module, node, node, (node,), **{operand: root, **changes})
    return write(graph_module, moved, chain, (node,))


def _chain(node: Node, operand: str) -> Chain | None:
    """The operand's chain, if there is one that does something."""
    chain = trace(ops.arguments(node)[operand])
    return None if chain.rearrangement.is_identity or chain.root.op == "get_attr" else chain


def elementwise(graph_module: GraphModule, node: Node) -> Node | None:
    """activation, scalar: any order will do."""
    chain = _chain(node, "x")
    return None if chain is None else _behind(graph_module, node, chain.rearrangement, "x")


def rowwise(graph_module: GraphModule, node: Node) -> Node | None:
    """linear, layer_norm, affine: rows may be counted in another shape. Rows in another order
    stay: the result is as large or larger, and nothing behind would undo it."""
    chain = _chain(node, "x")
    if chain is None or not chain.rearrangement.is_view or not chain.rearrangement.keeps_last:
        return None
    if ops.arguments(node).get("residual") is not None:
        return None
    last = chain.rearrangement.resized(len(shape(node)) - 1, shape(node)[-1])
    return _behind(graph_module, node, last, "x")


def softmax(graph_module: GraphModule, node: Node) -> Node | None:
    """softmax: any order of whole rows."""
    chain = _chain(node, "x")
    if chain is None or not chain.rearrangement.keeps_last:
        return None
    return _behind(graph_module, node, chain.rearrangement, "x")


def mean(graph_module: GraphModule, node: Node) -> Node | None:
    """mean: over the source dimensions that make up the reduced ones."""
    chain = _chain(node, "x")
    arguments = ops.arguments(node)
    if chain is None or chain.rearrangement.is_view or arguments["keepdim"]:
        return None
    rank = len(chain.rearrangement.result)
    dims = [d % rank for d in arguments["dims"]]
    sources = [chain.rearrangement.source_dims(d) for d in dims]
    if any(found is None for found in sources):
        return None
    over = sorted(d for found in sources for d in found or ())
    return _behind(graph_module, node, chain.rearrangement.without(dims), "x", dims=over)


def slice_(graph_module: GraphModule, node: Node) -> Node | None:
    """slice: of the source dimension that is the sliced one."""
    chain = _chain(node, "x")
    if chain is None or chain.rearrangement.is_view:
        return None
    dim = ops.arguments(node)["dim"] % len(shape(node))
    source = chain.rearrangement.source_dim(dim)
    if source is None:
        return None
    return _behind(
        graph_module, node, chain.rearrangement.resized(dim, shape(node)[dim]), "x", dim=source
    )


def pad(graph_module: GraphModule, node: Node) -> Node | None:
    """pad: of the source dimensions that are the padded ones."""
    chain = _chain(node, "x")
    if chain is None or chain.rearrangement.is_view:
        return None
    pads, rank = ops.arguments(node)["pads"], len(shape(node))
    rearrangement, widths = chain.rearrangement, {}
    for pair in range(len(pads) // 2):
        both = (pads[2 * pair], pads[2 * pair + 1])
        dim = rank - 1 - pair
        if both == (0, 0):
            continue
        source = chain.rearrangement.source_dim(dim)
        if source is None:
            return None
        widths[source] = both
        rearrangement = rearrangement.resized(dim, shape(node)[dim])
    count = len(rearrangement.source)
    moved = [w for d in range(count - 1, -1, -1) for w in widths.get(d, (0, 0))]
    return _behind(graph_module, node, rearrangement, "x", pads=moved)


def concat(graph_module: GraphModule, node: Node) -> Node | None:
    """concat: if all operands stand in the same order."""
    arguments = ops.arguments(node)
    dim = arguments["dim"] % len(shape(node))
    chains = [trace(x) for x in arguments["tensors"]]
    sources = [c.rearrangement.source_dim(dim) for c in chains]
    if any(c.rearrangement.is_view for c in chains) or None in sources or len(set(sources)) != 1:
        return None
    wholes = {c.rearrangement.resized(dim, shape(node)[dim]) for c in chains}
    if len(wholes) != 1:
        return None
    roots = [c.root for c in chains]
    moved = changed(graph_module, node, node, (node,), tensors=roots, dim=sources[0])
    return write(graph_module, moved, wholes.pop(), (node,))


def binary(graph_module: GraphModule, node: Node) -> Node | None:
    """binary: by the chain of an operand that has the result's shape, if the other operand can
    follow for free: it has the same chain, is a constant, or is small and broadcast. A mere
    reshape sinks only where the other operand has the same one (or is constant): otherwise
    it would just change sides."""
    operands = [ops.arguments(node)["a"], ops.arguments(node)["b"]]
    for operand in operands:
        chain = trace(operand)
        if shape(operand) != shape(node) or chain.rearrangement.is_identity:
            continue
        if chain.root.op == "get_attr":
            continue
        moved = [_followed(x, chain.rearrangement) for x in operands]
        if all(moved):
            new = [write(graph_module, *pair, (node,)) for pair in moved if pair is not None]
            result = changed(graph_module, node, node, (node,), a=new[0], b=new[1])
            return write(graph_module, result, chain.rearrangement, (node,))
    return None


def _followed(operand: Node, order: Rearrangement) -> tuple[Node, Rearrangement] | None:
    """`operand` of a binary op as (root, chain) once `order` has moved behind that op."""
    back = order.broadcast(shape(operand))
    chain = trace(operand)
    total = chain.rearrangement.then(back.inverse()) if back is not None else None
    if total is None:
        return None
    if chain.root.op == "get_attr" or total.is_identity:
        return chain.root, total
    small = prod(shape(operand)) * _SMALL <= prod(order.result)
    if small or (total.is_view and not order.is_view):
        return chain.root, total
    return None


SINKS: dict[str, Sink] = {
    "activation": elementwise,
    "affine": rowwise,
    "binary": binary,
    "concat": concat,
    "layer_norm": rowwise,
    "linear": rowwise,
    "mean": mean,
    "pad": pad,
    "scalar": elementwise,
    "slice": slice_,
    "softmax": softmax,
}
"""Dialect op -> how a chain sinks through it; ops that are missing see their operands as is."""
