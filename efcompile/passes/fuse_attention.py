"""fuse-attention: products, scale, bias, talking heads and softmax become one op.

Before (batch B, heads H, queries Q, keys K)::

    matmul(q [B, H, Q, d], kT [B, H, d, K]) -> scalar -> add(bias) -> [mix heads]
    -> softmax -> [mix heads] -> matmul(., v [B, H, K, D]) -> y [B, H, Q, D]

After::

    attention(q, kT, v, bias', mix1, mix2) [B, Q, H D] -> reshape -> permute -> y

Formula: linear steps before the softmax collect into ``mix1 (scale q k^T) + bias'``: a bias
before mix1 becomes mix1 @ bias, mix1's own bias is added, all constants. Operands are read as
they are, kT through swapped strides; attention-views then looks through their permutes. Rank 3
is one head.  This pass stands before cancel-reshapes, so that the permute behind the op meets
the model's own there and both vanish.

Preconditions: every step between has one reader; biases and mixes are constants.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch.fx import GraphModule, Node

from efcompile import ops
from efcompile.passes.attention_logits import Logits, Mix, read_logits, read_mix
from efcompile.passes.base import Match, Pass, add_constant
from efcompile.passes.legalise_rules.attention import contiguous_view
from efcompile.passes.rewriting import emit, emit_reshape, has_one_user, is_op, replace, shape


@dataclass(frozen=True)
class FuseAttention(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "fuse-attention"
    summary: ClassVar[str] = "q k^T, scale, bias, talking heads, softmax and v as one op"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Products whose first operand is a softmax, perhaps mixed over heads."""
        for node in graph_module.graph.nodes:
            if is_op(node, "matmul"):
                softmax, _ = _softmax(graph_module, node)
                if softmax is not None:
                    yield Match(node, {"softmax": softmax})

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """The logits are those of a product, and every step inside is read once."""
        product, softmax = match.anchor, match.nodes["softmax"]
        logits = read_logits(graph_module, ops.arguments(softmax)["x"])
        if logits is None:
            return "the softmax is not over a product of queries and keys"
        if isinstance(logits, str):
            return logits
        if len(shape(product)) not in (3, 4):
            return f"it has {len(shape(product))} dimensions, not 3 or 4"
        _, mix = _softmax(graph_module, product)
        inner = (softmax, logits.product, *logits.nodes, *(mix.nodes if mix else ()))
        for node in inner:
            if not has_one_user(node):
                return f"{node.name} inside has other readers"
        return None

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """Emit the op and the permute back."""
        product, softmax = match.anchor, match.nodes["softmax"]
        logits = read_logits(graph_module, ops.arguments(softmax)["x"])
        assert isinstance(logits, Logits)
        _, mix = _softmax(graph_module, product)
        mixed = mix.nodes if mix else ()
        origins = (logits.product, *logits.nodes, softmax, *mixed, product)
        replace(product, _emit(graph_module, product, logits, mix, origins))
        return f"attention around {softmax.name}"


def _softmax(graph_module: GraphModule, product: Node) -> tuple[Node | None, Mix | None]:
    """The softmax whose weights `product` applies, and the mix over heads between."""
    weights = ops.arguments(product)["a"]
    if is_op(weights, "softmax"):
        return weights, None
    mix = read_mix(graph_module, weights)
    if mix is not None and is_op(mix.x, "softmax"):
        return mix.x, mix
    return None, None


def _emit(
    graph_module: GraphModule,
    product: Node,
    logits: Logits,
    mix: Mix | None,
    origins: tuple[Node, ...],
) -> Node:
    """The op in place of `product`, and the way back to `product`'s shape."""
    q, k = ops.arguments(logits.product)["a"], ops.arguments(logits.product)["b"]
    v = ops.arguments(product)["b"]
    *lead, queries, key_dim = shape(q)
    keys, value_dim = shape(v)[-2:]
    batch, heads = (lead[0], lead[1]) if len(lead) == 2 else (lead[0], 1)

    def known(hint: str, value: object) -> Node | None:
        return None if value is None else add_constant(graph_module, hint, value)  # type: ignore[arg-type]

    offset, along_batch, along_head, along_dim, along_token = contiguous_view(
        (batch, heads, key_dim, keys)
    )
    y = emit(
        graph_module, product, "attention", q, k, v,
        known("attention_bias", logits.bias), known("attention_mix1", logits.mix),
        known("attention_mix2", mix.weight if mix else None),
        known("attention_mix2_bias", mix.bias if mix else None),
        [batch, heads, queries, keys, key_dim, value_dim],
        contiguous_view((batch, heads, queries, key_dim)),
        [offset, along_batch, along_head, along_token, along_dim],
        contiguous_view((batch, heads, keys, value_dim)), logits.scale, origins=origins,
    )  # fmt: skip
    split = emit_reshape(graph_module, product, y, (batch, queries, heads, value_dim), origins)
    swapped = emit(graph_module, product, "permute", split, [0, 2, 1, 3], origins=origins)
    return emit_reshape(graph_module, product, swapped, shape(product), origins)
