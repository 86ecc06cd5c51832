"""A graph node as an `OpCall`: operands with shapes and constant values, costs included."""

from math import prod
from typing import Any

import numpy as np
import torch
from torch.fx import GraphModule, Node

from efcompile.kernels.kernel import OpCall, Operand
from efcompile.lowering.magnitudes import RMS
from efcompile.ops import arguments, op_of
from efcompile.passes.base import constant


def operand_of(graph_module: GraphModule, node: Node) -> Operand:
    """Shape and dtype of a node's value, with the value itself if it is a constant, and how large
    it is if that was measured."""
    value = node.meta["val"]
    tensor = constant(graph_module, node)
    array = None if tensor is None else np.ascontiguousarray(tensor.cpu().numpy())
    shape = tuple(int(d) for d in value.shape)
    return Operand(shape, dtype_name(value.dtype), array, node.meta.get(RMS))


def dtype_name(dtype: torch.dtype) -> str:
    """numpy's name of a torch dtype."""
    return str(torch.empty(0, dtype=dtype).numpy().dtype)


def op_call(graph_module: GraphModule, node: Node) -> OpCall:
    """The dialect op call that `node` makes; a node that is two arguments is one `Operand`."""
    op = op_of(node)
    assert op is not None
    known: dict[Node, Operand] = {}

    def argument(value: Any) -> Any:
        if isinstance(value, Node):
            if value not in known:
                known[value] = operand_of(graph_module, value)
            return known[value]
        if isinstance(value, list | tuple):
            return [argument(v) for v in value]
        return value

    args = {name: argument(value) for name, value in arguments(node).items()}
    return OpCall(op.name, args, operand_of(graph_module, node))


def runtime_nodes(node: Node) -> dict[str, Node]:
    """The tensor arguments of a dialect node by the names `Kernel.pack` uses for them."""
    found: dict[str, Node] = {}
    for name, value in arguments(node).items():
        if isinstance(value, Node):
            found[name] = value
        elif isinstance(value, list | tuple):
            found |= {f"{name}.{i}": v for i, v in enumerate(value) if isinstance(v, Node)}
    return found


def flops_of(node: Node) -> int:
    """Nominal floating-point operations of a dialect node (multiply and add count as two)."""
    op = op_of(node)
    assert op is not None
    args = {k: v.meta["val"] if isinstance(v, Node) else v for k, v in arguments(node).items()}
    return op.flops(args, tuple(int(d) for d in node.meta["val"].shape))


def bytes_of(node: Node) -> int:
    """Bytes a node must at least move: every tensor operand once, and the result."""
    tensors = [n.meta["val"] for n in {*node.all_input_nodes, node}]
    return sum(prod(t.shape) * t.dtype.itemsize for t in tensors)
