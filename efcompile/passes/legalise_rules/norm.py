"""Normalisations and softmax: over the last dimension, permuted there if it is another one."""

from math import prod

import torch
from torch.fx import Node

from efcompile.passes.legalise_rules.rule import Rule, Site, computed_parameter
from efcompile.passes.rewriting import shape

aten = torch.ops.aten


def _refuse_batch_norm(site: Site) -> str | None:
    if site.args.get("training", False):
        return "it uses the statistics of the batch"
    if site.args["running_mean"] is None or site.args["running_var"] is None:
        return "it has no running statistics"
    return computed_parameter(site, "weight", "bias", "running_mean", "running_var")


def _batch_norm(site: Site) -> Node:
    """scale = weight / sqrt(var + eps), shift = bias - mean * scale, computed in double."""
    args = site.args
    mean, var = site.value(args["running_mean"]), site.value(args["running_var"])
    weight, bias = site.value(args["weight"]), site.value(args["bias"])
    assert mean is not None and var is not None
    scale = (var.double() + args["eps"]).rsqrt()
    if weight is not None:
        scale = scale * weight.double()
    shift = -mean.double() * scale
    if bias is not None:
        shift = shift + bias.double()
    hint = args["running_mean"].name.removesuffix("running_mean").rstrip("_.") or "norm"
    constants = [
        site.constant(f"{hint}_scale", scale.float()),
        site.constant(f"{hint}_shift", shift.float()),
    ]
    if len(shape(site.x)) == 2:
        return site.emit("affine", site.x, *constants)
    return site.channels_first(site.emit("affine", site.channels_last(site.x), *constants))


def _refuse_affine_part(site: Site) -> str | None:
    return computed_parameter(site, "weight", "bias")


def _layer_norm(site: Site) -> Node:
    """Over several last dimensions: over their product, as one."""
    args, whole = site.args, shape(site.x)
    dims = len(args["normalized_shape"])
    row = prod(whole[-dims:])
    weight, bias = (
        None if node is None else site.known(site.reshape(node, (row,)))
        for node in (args["weight"], args["bias"])
    )
    x = site.reshape(site.x, (*whole[:-dims], row))
    return site.reshape(site.emit("layer_norm", x, weight, bias, args["eps"]), whole)


def _group_norm(site: Site) -> Node:
    args = site.args
    weight, bias = site.known(args["weight"]), site.known(args["bias"])
    options = (args["num_groups"], weight, bias, args["eps"])
    if len(shape(site.x)) == 2:
        return site.emit("group_norm", site.x, *options)
    return site.channels_first(site.emit("group_norm", site.channels_last(site.x), *options))


def _refuse_softmax(site: Site) -> str | None:
    last = len(shape(site.x)) - 1
    return None if site.args["dim"] % (last + 1) == last else "it is not over the last dimension"


def _softmax(site: Site) -> Node:
    return site.emit("softmax", site.x)


RULES: dict[object, Rule] = {
    aten.batch_norm.default: Rule(_batch_norm, _refuse_batch_norm),
    aten.layer_norm.default: Rule(_layer_norm, _refuse_affine_part),
    aten.group_norm.default: Rule(_group_norm, _refuse_affine_part),
    aten.softmax.int: Rule(_softmax, _refuse_softmax),
}
