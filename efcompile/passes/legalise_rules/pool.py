"""Pooling, means and resizing."""

from math import prod

import torch
from torch.fx import Node

from efcompile.passes.legalise_rules.rule import Rule, Site
from efcompile.passes.rewriting import shape

aten = torch.ops.aten


def _image(site: Site) -> str | None:
    if len(shape(site.x)) != 4:
        return f"its input has {len(shape(site.x))} dimensions, not 4"
    return None


def _window(site: Site) -> tuple[list[int], list[int], list[int]]:
    args = site.args
    return args["kernel_size"], args["stride"], args["padding"]


def _refuse_avg_pool(site: Site) -> str | None:
    if site.args["divisor_override"] is not None:
        return "divisor_override has no channels-last op"
    return _image(site)


def _avg_pool(site: Site) -> Node:
    y = site.emit(
        "avg_pool2d", site.channels_last(site.x), *_window(site), site.args["ceil_mode"],
        site.args["count_include_pad"],
    )  # fmt: skip
    return site.channels_first(y)


def _max_pool(site: Site) -> Node:
    y = site.emit(
        "max_pool2d", site.channels_last(site.x), *_window(site), site.args["dilation"],
        site.args["ceil_mode"],
    )  # fmt: skip
    return site.channels_first(y)


def _over(site: Site) -> list[int]:
    """The reduced dimensions; all if none is named."""
    rank = len(shape(site.x))
    return sorted({d % rank for d in site.args.get("dim") or range(rank)})


def _mean(site: Site) -> Node:
    """Kept dimensions come back as a free reshape, so there is one form of mean."""
    return site.reshape(site.emit("mean", site.x, _over(site), False), shape(site.node))


def _sum(site: Site) -> Node:
    count = prod(shape(site.x)[dim] for dim in _over(site))
    return site.emit("scalar", _mean(site), float(count), 0.0)


def _scales(site: Site) -> list[float]:
    """The user's scale factors, if given: torch resamples by them, not by the sizes' ratio."""
    factors = (site.args["scales_h"], site.args["scales_w"])
    return [float(factor) for factor in factors if factor is not None]


def _refuse_resize(site: Site) -> str | None:
    if len(_scales(site)) == 1:
        return "only one of its scale factors is given"
    return _image(site)


def _resize(mode: str) -> Rule:
    def build(site: Site) -> Node:
        y = site.emit(
            "resize", site.channels_last(site.x), list(shape(site.node)[2:]), mode,
            bool(site.args.get("align_corners", False)), _scales(site),
        )  # fmt: skip
        return site.channels_first(y)

    return Rule(build, _refuse_resize)


RULES: dict[object, Rule] = {
    aten.avg_pool2d.default: Rule(_avg_pool, _refuse_avg_pool),
    aten.max_pool2d.default: Rule(_max_pool, _image),
    aten.mean.dim: Rule(_mean),
    aten.sum.dim_IntList: Rule(_sum),
    aten.sum.default: Rule(_sum),
    aten.upsample_nearest2d.default: _resize("nearest"),
    aten.upsample_bilinear2d.default: _resize("bilinear"),
}
