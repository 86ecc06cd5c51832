"""Convolutions and linears. Weights become constants in the layout the kernels read."""

import torch
from torch.fx import Node

from efcompile.passes.legalise_rules.rule import Rule, Site, computed_parameter, pair
from efcompile.passes.rewriting import shape

aten = torch.ops.aten


def _constant_weights(site: Site) -> str | None:
    return computed_parameter(site, "weight", "bias")


def _refuse_conv(site: Site) -> str | None:
    if len(shape(site.x)) != 4:
        return f"its input has {len(shape(site.x))} dimensions, not 4"
    return _constant_weights(site)


def _refuse_conv_padding(site: Site) -> str | None:
    if site.args["padding"] == "same":
        kernel, dilation = shape(site.args["weight"])[2:], pair(site.args["dilation"])
        if any(d * (k - 1) % 2 for k, d in zip(kernel, dilation, strict=True)):
            return 'padding="same" is uneven here'
    return _refuse_conv(site)


def _conv2d(site: Site) -> Node:
    args, weight = site.args, site.value(site.args["weight"])
    assert weight is not None
    dilation, padding = pair(args["dilation"]), args["padding"]
    if isinstance(padding, str):
        same = [d * (k - 1) // 2 for k, d in zip(weight.shape[2:], dilation, strict=True)]
        padding = same if padding == "same" else [0, 0]
    laid = site.constant(f"{args['weight'].name}_nhwc", weight.permute(0, 2, 3, 1))
    bias, x = site.known(args["bias"]), site.channels_last(site.x)
    options = (pair(args["stride"]), pair(padding), dilation, args["groups"])
    return site.channels_first(site.emit("conv2d", x, laid, bias, None, *options))


def _linear(site: Site) -> Node:
    weight, bias = site.known(site.args["weight"]), site.known(site.args["bias"])
    return site.emit("linear", site.x, weight, bias)


def _refuse_addmm(site: Site) -> str | None:
    if site.args["alpha"] != 1 or site.args["beta"] != 1:
        return "alpha or beta is not 1"
    if len(shape(site.args["self"])) != 1:
        return "its bias is no vector"
    return computed_parameter(site, "self", "mat2")


def _addmm(site: Site) -> Node:
    weight = site.value(site.args["mat2"])
    assert weight is not None
    laid = site.constant(f"{site.args['mat2'].name}_t", weight.T)
    return site.emit("linear", site.args["mat1"], laid, site.known(site.args["self"]))


RULES: dict[object, Rule] = {
    aten.conv2d.default: Rule(_conv2d, _refuse_conv),
    aten.conv2d.padding: Rule(_conv2d, _refuse_conv_padding),
    aten.linear.default: Rule(_linear, _constant_weights),
    aten.addmm.default: Rule(_addmm, _refuse_addmm),
}
