"""Shapes of every node, recomputed on meta tensors."""

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree

from efcompile.errors import CaptureError

Known = dict[Hashable, Any]
"""Values of calls by what they were called with; see `propagate`."""


def propagate(
    graph_module: GraphModule, example_inputs: Sequence[Tensor], known: Known | None = None
) -> None:
    """Set ``meta["val"]`` of every node to a meta tensor of its shape and dtype.

    `example_inputs` are the placeholders' values (only their shape and dtype matter). Other
    metadata, the source modules among it, stays. With `known`, equal calls are worked out once:
    who goes through many versions of one graph passes the same dictionary every time.

    Raises `CaptureError` naming the first node whose operands do not fit together.
    """
    known = {} if known is None else known
    waiting = list(example_inputs)
    for node in graph_module.graph.nodes:
        if node.op == "placeholder":
            node.meta["val"] = as_meta(waiting.pop(0))
        elif node.op == "get_attr":
            node.meta["val"] = as_meta(getattr(graph_module, str(node.target)))
        elif node.op == "call_function":
            try:
                key = _call(node)
                if key not in known:
                    known[key] = evaluate(node.target, node.args, node.kwargs)
                node.meta["val"] = known[key]
            except (RuntimeError, TypeError, ValueError, IndexError) as error:
                where = ", ".join(node.meta.get("custom", {}).get("source", ())) or "(model)"
                raise CaptureError(
                    f"node {node.name} (from {where}) does not fit its operands: {error}"
                ) from error


def evaluate(target: Any, args: Sequence[Any], kwargs: dict[str, Any] | None = None) -> Any:
    """``target(*args, **kwargs)`` on the meta values of the nodes among the arguments.

    Results count as contiguous: in a graph of reshapes and permutes strides mean nothing.
    """
    result = target(*map_arg(tuple(args), _value), **map_arg(dict(kwargs or {}), _value))
    return pytree.tree_map_only(Tensor, as_meta, result)


def as_meta(value: Tensor) -> Tensor:
    """A contiguous meta tensor of `value`'s shape and dtype."""
    return torch.empty(value.shape, dtype=value.dtype, device="meta")


def _call(node: Node) -> Hashable:
    """What decides the shape and dtype of a call: its target, with operands for their own.

    The text tells 1 from 1.0 and True, which compare equal and give results of other dtypes.
    """
    described = map_arg((node.args, node.kwargs), _described)
    return node.target, repr(described)


class _Shape(str):
    """The text that stands for an operand; unlike a string argument it shows no quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def _described(node: Node) -> Any:
    shapes = pytree.tree_map_only(Tensor, lambda t: (tuple(t.shape), t.dtype), node.meta["val"])
    return _Shape(f"<{shapes}>")


def _value(node: Node) -> Any:
    return node.meta["val"]
