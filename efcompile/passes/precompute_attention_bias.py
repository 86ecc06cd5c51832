"""precompute-attention-bias: what depends on constants only is computed now.

Before::

    table, index -> index [-> resize, reshape, cat, ...] -> add (logits)
    add (logits, bias) -> conv2d 1x1 (W, b)                     (talking heads)

After::

    bias' -> add (logits)
    conv2d 1x1 (logits, W) -> add bias',   bias' = conv2d(bias, W) + b

The first form covers every subgraph of constants: gathered and resized bias tables, reshaped
layer scales, position embeddings put together from parts.  Models that cache such tensors
lazily come out the same, whether or not they ran before.

Preconditions: the operations are deterministic.  A constant is not blown up by mere broadcasting:
an ``expand`` to more than four times its operand (and more than 64 Ki elements) stays, and what
it expands is computed.  Talking heads: the sum has full shape, its constant is the same for every
image, only the convolution reads it, which has kernel 1, no padding and no more outputs than
inputs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from efcompile.passes.base import Match, Pass, add_constant, constant, set_sources
from efcompile.passes.projection import CONV2D, projection, substitute
from efcompile.passes.rewriting import emit, shape

ADD, EXPAND = torch.ops.aten.add.Tensor, torch.ops.aten.expand.default

_GROWTH = 4
_SMALL = 1 << 16


@dataclass(frozen=True)
class PrecomputeAttentionBias(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "precompute-attention-bias"
    summary: ClassVar[str] = "bias gathers and all else that depends on constants only"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Last nodes of constant subgraphs, broadcasts of constants, mixed sums with a constant."""
        known: set[Node] = set()
        for node in graph_module.graph.nodes:
            if node.op == "get_attr" or (_follows_from(node, known) and _growth(node) is None):
                known.add(node)
        for node in graph_module.graph.nodes:
            if node.op != "call_function":
                continue
            last = node in known and any(user not in known for user in node.users)
            if last or (_follows_from(node, known) and node not in known):
                yield Match(node)
            elif node.target is CONV2D and (parts := _mixed_sum(graph_module, node)):
                yield Match(node, dict(zip(("sum", "logits", "bias"), parts, strict=True)))

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """No blow-up by broadcasting; for mixed sums, see the module's docstring."""
        if "sum" in match.nodes:
            return _why_not_mixed(graph_module, match)
        return _growth(match.anchor)

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """A new constant in place of what computes it."""
        if "sum" in match.nodes:
            return _mix(graph_module, match)
        node = match.anchor
        new = add_constant(graph_module, f"{node.name}_value", _value(graph_module, node))
        set_sources(new, node)
        substitute(node, new)
        return f"{node.name} {list(shape(new))}"


def _follows_from(node: Node, known: set[Node]) -> bool:
    """Whether `node` computes a tensor from known ones."""
    if not isinstance(node.target, OpOverload) or not isinstance(node.meta["val"], Tensor):
        return False
    if torch.Tag.nondeterministic_seeded in node.target.tags:
        return False
    operands = node.all_input_nodes
    return bool(operands) and all(operand in known for operand in operands)


def _growth(node: Node) -> str | None:
    """Why `node` must not become a constant: it would hold the same numbers many times."""
    if node.target is not EXPAND:
        return None
    before, after = prod(shape(node.args[0])), prod(shape(node))  # type: ignore[arg-type]
    if after <= _GROWTH * before or after <= _SMALL:
        return None
    return f"broadcasting {before} constants to {after} would only make the weights larger"


def _value(graph_module: GraphModule, node: Node) -> Tensor:
    """The value of a constant subgraph's last node."""
    stored = constant(graph_module, node)
    if stored is not None:
        return stored
    known = map_arg((node.args, node.kwargs), lambda n: _value(graph_module, n))
    with torch.no_grad():
        value: Tensor = node.target(*known[0], **known[1])  # type: ignore[operator]
    return value


def _mixed_sum(graph_module: GraphModule, conv: Node) -> tuple[Node, Node, Node] | None:
    """(sum, logits, bias) if `conv` has kernel one and reads a sum with a constant."""
    found = projection(graph_module, conv)
    if found is None or found.input.target is not ADD or found.weight.shape[2:] != (1, 1):
        return None
    total = found.input
    for logits, bias in (total.args, total.args[::-1]):
        if constant(graph_module, bias) is not None and isinstance(logits, Node):
            assert isinstance(bias, Node)
            return total, logits, bias
    return None


def _why_not_mixed(graph_module: GraphModule, match: Match) -> str | None:
    conv, total = match.anchor, match.nodes["sum"]
    logits, bias = match.nodes["logits"], match.nodes["bias"]
    found = projection(graph_module, conv)
    assert found is not None
    if any(found.node.args[4]) or any(s != 1 for s in found.node.args[3]):  # type: ignore[arg-type, union-attr]
        return f"{conv.name} has a stride or padding"
    if shape(logits) != shape(total):
        return f"{total.name} broadcasts its other operand"
    if len(shape(bias)) > 3 and shape(bias)[0] != 1:
        return f"{bias.name} differs from image to image"
    if len(total.users) > 1:
        return f"{total.name} is also read without mixing"
    if shape(conv)[1] > shape(total)[1]:
        return f"{conv.name} has more outputs than inputs: adding after it would cost more"
    return None


def _mix(graph_module: GraphModule, match: Match) -> str:
    conv, total, logits = match.anchor, match.nodes["sum"], match.nodes["logits"]
    found = projection(graph_module, conv)
    bias = constant(graph_module, match.nodes["bias"])
    assert found is not None and bias is not None
    image = bias.reshape(*[1] * (4 - bias.ndim), *bias.shape)
    image = image.expand(1, shape(total)[1], *image.shape[2:]).double()
    own = None if found.bias is None else found.bias.double()
    mixed = torch.nn.functional.conv2d(image, found.weight.double(), own, groups=found.groups)
    new_bias = add_constant(graph_module, f"{conv.name}_bias", mixed.to(bias.dtype))
    set_sources(new_bias, total, conv)
    weight, geometry = conv.args[1], conv.args[3:]
    plain = emit(graph_module, conv, CONV2D, logits, weight, None, *geometry, origins=(conv,))
    conv.replace_all_uses_with(
        emit(graph_module, conv, ADD, plain, new_bias, origins=(total, conv))
    )
    return f"bias of {total.name} through {conv.name}"
