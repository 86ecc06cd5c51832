"""Matrix products of activations, and scaled dot product attention."""

from math import prod, sqrt

import torch
from torch import Tensor
from torch.fx import Node

from efcompile.passes.legalise_rules.rule import Rule, Site
from efcompile.passes.rewriting import shape

aten = torch.ops.aten


def contiguous_view(sizes: tuple[int, ...]) -> list[int]:
    """(offset, batch, head, token, dim strides) of a contiguous [batch, heads, tokens, dim]."""
    return [0, *(prod(sizes[i + 1 :]) for i in range(4))]


def _matmul(site: Site) -> Node:
    """By a constant matrix: a linear. Otherwise batch dimensions are expanded to be equal."""
    a, b = site.args["self"], site.args["other"]
    value = site.value(b)
    if value is not None and value.dim() == 2:
        return site.emit("linear", a, site.constant(f"{b.name}_t", value.T))
    batch = shape(site.node)[:-2]
    return site.emit("matmul", _batched(site, a, batch), _batched(site, b, batch))


def _batched(site: Site, x: Node, batch: tuple[int, ...]) -> Node:
    wanted = (*batch, *shape(x)[-2:])
    if shape(x) == wanted:
        return x
    aligned = site.reshape(x, (1,) * (len(wanted) - len(shape(x))) + shape(x))
    return aligned if shape(aligned) == wanted else site.emit("expand", aligned, list(wanted))


def _refuse_attention(site: Site) -> str | None:
    args = site.args
    if args["dropout_p"] != 0:
        return "it drops out"
    if args.get("enable_gqa"):
        return "grouped queries have no channels-last op"
    if len(shape(args["query"])) not in (3, 4):
        return f"its query has {len(shape(args['query']))} dimensions, not 3 or 4"
    lead = {shape(args[name])[:-2] for name in ("query", "key", "value")}
    if len(lead) != 1:
        return "its operands broadcast over batch or heads"
    mask = args["attn_mask"]
    if mask is not None and site.value(mask) is None:
        return "its mask is computed while running"
    return None


def _mask(site: Site, queries: int, keys: int) -> Tensor | None:
    """What is added to the logits: the mask, -inf where a boolean one forbids."""
    mask = site.value(site.args["attn_mask"])
    if site.args["is_causal"]:
        mask = torch.ones(queries, keys, dtype=torch.bool).tril()
    if mask is None:
        return None
    if mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape).masked_fill(~mask, float("-inf"))
    return mask.float().reshape((1,) * (4 - mask.dim()) + tuple(mask.shape))


def _attention(site: Site) -> Node:
    """Operands contiguous [batch, heads, tokens, dim], as the model has them."""
    args = site.args
    *lead, queries, key_dim = shape(args["query"])
    keys, value_dim = shape(args["value"])[-2:]
    batch, heads = (lead[0], lead[1]) if len(lead) == 2 else (lead[0], 1)
    mask = _mask(site, queries, keys)
    if mask is not None and len(lead) == 1:
        mask = mask.transpose(0, 1)  # [1, batch, queries, keys]: this batch has no heads
    bias = None if mask is None else site.constant("attention_mask", mask)
    scale = args["scale"] if args["scale"] is not None else 1 / sqrt(key_dim)
    y = site.emit(
        "attention", args["query"], args["key"], args["value"], bias, None, None, None,
        [batch, heads, queries, keys, key_dim, value_dim],
        contiguous_view((batch, heads, queries, key_dim)),
        contiguous_view((batch, heads, keys, key_dim)),
        contiguous_view((batch, heads, keys, value_dim)), scale,
    )  # fmt: skip
    split = site.reshape(y, (batch, queries, heads, value_dim))
    return site.reshape(site.permute(split, (0, 2, 1, 3)), shape(site.node))


RULES: dict[object, Rule] = {
    aten.matmul.default: Rule(_matmul),
    aten.scaled_dot_product_attention.default: Rule(
        _attention, _refuse_attention, any_constant=True
    ),
}
