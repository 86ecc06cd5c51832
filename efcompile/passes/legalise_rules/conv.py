"""Convolutions and linears. Weights become constants in the layout the kernels read."""

import torch
from torch.fx import Node

from efcompile.passes.legalise_rules.rule import Rule, Site, computed_parameter
from efcompile.passes.rewriting import shape

aten = torch.ops.aten


def _constant_weights(site: Site) -> str | None:
    return computed_parameter(site, "weight", "bias")


def _refuse_conv(site: Site) -> str | None:
    if len(shape(site.x)) != 4:
        return f"its input has {len(shape(site.x))} dimensions, not 4"
    return _constant_weights(site)


def _conv2d(site: Site) -> Node:
    args, weight = site.args, site.value(site.args["weight"])
    assert weight is not None
    laid = site.constant(f"{args['weight'].name}_nhwc", weight.permute(0, 2, 3, 1))
    bias, x = site.known(args["bias"]), site.channels_last(site.x)
    options = tuple(args[name] for name in ("stride", "padding", "dilation", "groups"))
    return site.channels_first(site.emit("conv2d", x, laid, bias, None, *options))


def _linear(site: Site) -> Node:
    weight, bias = site.known(site.args["weight"]), site.known(site.args["bias"])
    return site.emit("linear", site.x, weight, bias)


RULES: dict[object, Rule] = {
    aten.conv2d.default: Rule(_conv2d, _refuse_conv),
    aten.linear.default: Rule(_linear, _constant_weights),
}
