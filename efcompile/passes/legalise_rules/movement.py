"""Ops that move data or pick some of it."""

import torch
from torch.fx import Node

from efcompile.passes.legalise_rules.rule import Rule, Site
from efcompile.passes.rewriting import shape

aten = torch.ops.aten


def _permute(site: Site) -> Node:
    rank = len(shape(site.x))
    return site.permute(site.x, [d % rank for d in site.args["dims"]])


def _slice(site: Site) -> Node:
    """Bounds may be negative, missing or past the end; here they are what they come to."""
    args = site.args
    dim = args["dim"] % len(shape(site.x))
    size = shape(site.x)[dim]
    start, end, step = slice(args["start"], args["end"], args["step"]).indices(size)
    if (start, end, step) == (0, size, 1):
        return site.x
    return site.emit("slice", site.x, dim, start, max(start, end), step)


def _expand(site: Site) -> Node:
    return site.emit("expand", site.x, list(shape(site.node)))


def _concat(site: Site) -> Node:
    return site.emit("concat", site.args["tensors"], site.args["dim"] % len(shape(site.node)))


def _refuse_pad(site: Site) -> str | None:
    if any(width < 0 for width in site.args["pad"]):
        return "it crops (negative padding)"
    return None


def _pad(site: Site) -> Node:
    return site.emit("pad", site.x, list(site.args["pad"]), float(site.args.get("value") or 0))


def _roll(site: Site) -> Node:
    rank, x = len(shape(site.x)), site.x
    for shift, dim in zip(site.args["shifts"], site.args["dims"], strict=True):
        size = shape(x)[dim % rank]
        cut = (size - shift) % size
        if cut:
            tail = site.emit("slice", x, dim % rank, cut, size, 1)
            head = site.emit("slice", x, dim % rank, 0, cut, 1)
            x = site.emit("concat", [tail, head], dim % rank)
    return x


def _refuse_roll(site: Site) -> str | None:
    if not site.args["dims"]:
        return "it rolls over the flattened tensor"
    return None


def _refuse_index(site: Site) -> str | None:
    picked = [i for i in site.args["indices"] if i is not None]
    if len(picked) != 1:
        return f"it gathers by {len(picked)} index tensors"
    value = site.value(picked[0])
    if value is None:
        return "its index is computed while running"
    if value.dtype != torch.int64:
        return f"its index is {value.dtype}, not int64"
    return None


def _index(site: Site) -> Node:
    """Negative indices count from the end."""
    indices = list(site.args["indices"])
    dim = next(d for d, i in enumerate(indices) if i is not None)
    value = site.value(indices[dim])
    assert value is not None
    positive = torch.where(value < 0, value + shape(site.x)[dim], value)
    index = site.constant(f"{indices[dim].name}_index", positive)
    return site.emit("gather", site.x, index, dim)


RULES: dict[object, Rule] = {
    aten.permute.default: Rule(_permute),
    aten.slice.Tensor: Rule(_slice),
    aten.expand.default: Rule(_expand),
    aten.cat.default: Rule(_concat),
    aten.constant_pad_nd.default: Rule(_pad, _refuse_pad),
    aten.roll.default: Rule(_roll, _refuse_roll),
    aten.index.Tensor: Rule(_index, _refuse_index, any_constant=True),
}
