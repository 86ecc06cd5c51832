"""Reads what lies between the two products of an attention: scale, bias, heads mixed.

Everything linear between ``q k^T`` and the softmax is ``mix (scale q k^T) + bias``; a step
that mixes the heads is ``permute heads last -> linear [H, H] -> permute back``.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from efcompile import ops
from efcompile.passes.base import constant
from efcompile.passes.chains import Chain, trace
from efcompile.passes.rearrangement import Rearrangement
from efcompile.passes.rewriting import has_one_user, is_op, shape


@dataclass(frozen=True)
class Mix:
    """Heads mixed by `weight` [H, H] (result head, operand head) and `bias` [H]. `x` is what is
    mixed, `nodes` are the nodes that do it."""

    x: Node
    weight: Tensor
    bias: Tensor | None
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Logits:
    """``mix (scale product) + bias``: `bias` [1 or B, 1 or H, 1 or Q, 1 or K], `mix` [H, H].
    `nodes` are the nodes that compute it from `product` (a matmul)."""

    product: Node
    scale: float
    mix: Tensor | None
    bias: Tensor | None
    nodes: tuple[Node, ...]


def read_mix(graph_module: GraphModule, node: Node) -> Mix | None:
    """The mix over heads (dimension 1 of 4) that ends at `node`, if one does."""
    if len(shape(node)) != 4:
        return None
    back = trace(node)
    mixer = back.root
    if not is_op(mixer, "linear", "conv2d") or not _plain(mixer) or not back.nodes:
        return None
    there = trace(ops.arguments(mixer)["x"])
    weight = constant(graph_module, ops.arguments(mixer)["weight"])
    bias = constant(graph_module, ops.arguments(mixer)["bias"])
    if weight is None or shape(there.root) != shape(node):
        return None
    heads = shape(node)[1]
    last = Rearrangement.identity(shape(node)).permuted((0, 2, 3, 1))
    assert last is not None
    if weight.numel() != heads * heads or not _moves_as(there, last, mixer, back):
        return None
    weight = weight.reshape(heads, heads)
    return Mix(there.root, weight, bias, (*there.nodes, mixer, *back.nodes))


def read_logits(graph_module: GraphModule, node: Node) -> Logits | str | None:
    """What `node` (the softmax's operand) computes from a product; a reason if it is an
    attention that the op cannot express; None if no product is found."""
    if is_op(node, "matmul"):
        return Logits(node, 1.0, None, None, ())
    mix = read_mix(graph_module, node)
    if mix is not None:
        inner = read_logits(graph_module, mix.x)
        return _mixed(inner, mix) if isinstance(inner, Logits) else inner
    if is_op(node, "scalar"):
        arguments = ops.arguments(node)
        inner = read_logits(graph_module, arguments["x"])
        if isinstance(inner, Logits):
            return _scaled(inner, arguments["multiply"], arguments["add"], node)
        return inner
    if is_op(node, "binary"):
        return _biased(graph_module, node)
    return None


def _biased(graph_module: GraphModule, node: Node) -> Logits | str | None:
    arguments = ops.arguments(node)
    for x, other in ((arguments["a"], arguments["b"]), (arguments["b"], arguments["a"])):
        inner = read_logits(graph_module, x)
        if inner is None:
            continue
        if isinstance(inner, str):
            return inner
        value = constant(graph_module, other)
        if arguments["kind"] != "add" or arguments["act"] != "none":
            return f"{node.name} is no addition of a bias"
        if value is None:
            return f"the bias {other.name} is computed while running"
        if shape(x) != shape(node):
            return f"{node.name} broadcasts the logits"
        value = _four(value, len(shape(node)))
        total = value if inner.bias is None else inner.bias + value
        return replace(inner, bias=total, nodes=(*inner.nodes, node))
    return None


def _four(bias: Tensor, rank: int) -> Tensor:
    """A bias of logits of `rank` dimensions as 4: rank 3 is [batch, queries, keys]."""
    whole = bias.reshape((1,) * (rank - bias.dim()) + tuple(bias.shape))
    return whole[:, None] if rank == 3 else whole


def _scaled(inner: Logits, multiply: float, add: float, node: Node) -> Logits:
    bias = None if inner.bias is None else inner.bias * multiply
    if add != 0:
        bias = torch.full((1, 1, 1, 1), add) if bias is None else bias + add
    nodes = (*inner.nodes, node)
    return replace(inner, scale=inner.scale * multiply, bias=bias, nodes=nodes)


def _mixed(inner: Logits, mix: Mix) -> Logits:
    heads = mix.weight.shape[0]
    matrix = mix.weight if inner.mix is None else mix.weight @ inner.mix
    bias = inner.bias
    if bias is not None:
        spread = bias.expand(-1, heads, -1, -1).double()
        bias = torch.einsum("gh,bhqk->bgqk", mix.weight.double(), spread).float()
    if mix.bias is not None:
        own = mix.bias.reshape(1, heads, 1, 1)
        bias = own if bias is None else bias + own
    return replace(inner, mix=matrix, bias=bias, nodes=(*inner.nodes, *mix.nodes))


def _plain(node: Node) -> bool:
    """A linear or pointwise convolution without epilogue, which one node reads."""
    arguments = ops.arguments(node)
    if arguments["act"] != "none" or arguments["residual"] is not None or not has_one_user(node):
        return False
    if is_op(node, "linear"):
        return True
    pointwise = shape(arguments["weight"])[1:3] == (1, 1) and arguments["groups"] == 1
    return (
        pointwise
        and list(arguments["stride"]) == [1, 1]
        and not any(arguments["padding"])
        and not arguments["nchw_input"]
    )


def _moves_as(there: Chain, last: Rearrangement, mixer: Node, back: Chain) -> bool:
    """Whether the chains bring the heads last and back, whatever views the mixer sees."""
    seen = last.reshaped(shape(ops.arguments(mixer)["x"]))
    undone = last.inverse()
    mixed = Rearrangement(shape(mixer), undone.atoms, undone.order, undone.result)
    return there.rearrangement == seen and back.rearrangement == mixed
