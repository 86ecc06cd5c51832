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
    if shape(site.x) == shape(site.node):
        return site.x
    return site.emit("expand", site.x, list(shape(site.node)))


def _repeat(site: Site) -> Node:
    """Only dimensions of size one: an expand."""
    whole = shape(site.node)
    x = site.reshape(site.x, (1,) * (len(whole) - len(shape(site.x))) + shape(site.x))
    return x if shape(x) == whole else site.emit("expand", x, list(whole))


def _refuse_repeat(site: Site) -> str | None:
    repeats = site.args["repeats"]
    aligned = (1,) * (len(repeats) - len(shape(site.x))) + shape(site.x)
    if any(times != 1 and size != 1 for times, size in zip(repeats, aligned, strict=True)):
        return "it repeats a dimension longer than one"
    return None


def _concat(site: Site) -> Node:
    """Empty tensors of another rank, which torch.cat lets pass, are left out."""
    rank = len(shape(site.node))
    tensors = [t for t in site.args["tensors"] if len(shape(t)) == rank]
    return site.emit("concat", tensors, site.args["dim"] % rank)


def _stack(site: Site) -> Node:
    rank = len(shape(site.node))
    dim = site.args["dim"] % rank
    parts = []
    for tensor in site.args["tensors"]:
        whole = shape(tensor)
        parts.append(site.reshape(tensor, (*whole[:dim], 1, *whole[dim:])))
    return site.emit("concat", parts, dim)


def _refuse_pad(site: Site) -> str | None:
    if site.args.get("mode", "constant") != "constant":
        return f"padding mode {site.args['mode']} has no channels-last op"
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
    return _refuse_gather(site, picked[0])


def _refuse_gather(site: Site, index: object) -> str | None:
    value = site.value(index)
    if value is None:
        return "its index is computed while running"
    if value.dtype != torch.int64:
        return f"its index is {value.dtype}, not int64"
    return None


def _index(site: Site) -> Node:
    indices = list(site.args["indices"])
    dim = next(d for d, i in enumerate(indices) if i is not None)
    return _gather(site, indices[dim], dim)


def _gather(site: Site, index: Node, dim: int) -> Node:
    """Negative indices count from the end."""
    value = site.value(index)
    assert value is not None
    positive = torch.where(value < 0, value + shape(site.x)[dim], value)
    return site.emit("gather", site.x, site.constant(f"{index.name}_index", positive), dim)


def _shuffle(site: Site) -> Node:
    """[N, C r r, H, W] -> [N, C, H r, W r]."""
    r = site.args["upscale_factor"]
    n, c, h, w = shape(site.x)
    split = site.reshape(site.x, (n, c // (r * r), r, r, h, w))
    return site.reshape(site.permute(split, (0, 1, 4, 2, 5, 3)), shape(site.node))


def _unshuffle(site: Site) -> Node:
    """[N, C, H r, W r] -> [N, C r r, H, W]."""
    r = site.args["downscale_factor"]
    n, c, h, w = shape(site.x)
    split = site.reshape(site.x, (n, c, h // r, r, w // r, r))
    return site.reshape(site.permute(split, (0, 1, 3, 5, 2, 4)), shape(site.node))


def _channel_shuffle(site: Site) -> Node:
    groups = site.args["groups"]
    n, c, *rest = shape(site.x)
    split = site.reshape(site.x, (n, groups, c // groups, *rest))
    mixed = site.permute(split, (0, 2, 1, *range(3, 3 + len(rest))))
    return site.reshape(mixed, shape(site.node))


def _refuse_shuffle(site: Site) -> str | None:
    return "its input has not 4 dimensions" if len(shape(site.x)) != 4 else None


RULES: dict[object, Rule] = {
    aten.permute.default: Rule(_permute),
    aten.slice.Tensor: Rule(_slice),
    aten.expand.default: Rule(_expand),
    aten.repeat.default: Rule(_repeat, _refuse_repeat),
    aten.cat.default: Rule(_concat),
    aten.stack.default: Rule(_stack),
    aten.constant_pad_nd.default: Rule(_pad, _refuse_pad),
    aten.pad.default: Rule(_pad, _refuse_pad),
    aten.roll.default: Rule(_roll, _refuse_roll),
    aten.index.Tensor: Rule(_index, _refuse_index, any_constant=True),
    aten.index_select.default: Rule(
        lambda site: _gather(site, site.args["index"], site.args["dim"] % len(shape(site.x))),
        lambda site: _refuse_gather(site, site.args["index"]),
        any_constant=True,
    ),
    aten.pixel_shuffle.default: Rule(_shuffle, _refuse_shuffle),
    aten.pixel_unshuffle.default: Rule(_unshuffle, _refuse_shuffle),
    aten.channel_shuffle.default: Rule(_channel_shuffle, _refuse_shuffle),
}
