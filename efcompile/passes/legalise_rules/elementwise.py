"""Activations and arithmetic. They work in any layout, so nothing is permuted around them."""

from math import isinf

import torch
from torch.fx import Node

from efcompile.passes.legalise_rules.rule import Rule, Site
from efcompile.passes.rewriting import shape

aten = torch.ops.aten


def _activation(act: str) -> Rule:
    return Rule(lambda site: site.emit("activation", site.x, act))


def _gelu(site: Site) -> Node:
    act = "gelu" if site.args["approximate"] == "none" else "gelu_tanh"
    return site.emit("activation", site.x, act)


def _clamp(site: Site) -> Node:
    """Bounds as constants: maximum and minimum pass NaN on, as clamp does."""
    y = site.x
    for kind, bound in (("maximum", site.args["min"]), ("minimum", site.args["max"])):
        if bound is not None and not isinf(bound):
            y = site.emit("binary", y, _tensor(site, float(bound)), kind)
    return y


def _number(site: Site, operand: object) -> float | None:
    """A Python number, or a one-element constant of no more dimensions than the result."""
    if isinstance(operand, int | float):
        return float(operand)
    value = site.value(operand)
    if value is None or value.numel() != 1 or value.dim() > len(shape(site.node)):
        return None
    return float(value.item())


def _arithmetic(kind: str) -> Rule:
    """``a <kind> b`` of tensors, or of a tensor and a number."""

    def build(site: Site) -> Node:
        a: Node = site.args["self"]
        b: Node = site.args["other"]
        if kind in ("add", "mul") and _number(site, a) is not None:
            a, b = b, a
        number = _number(site, b)
        if number is None or shape(a) != shape(site.node):
            return site.emit("binary", a, b, kind)
        if kind == "div" and number == 0:
            return site.emit("binary", a, _tensor(site, number), kind)
        multiply = {"mul": number, "div": 1 / number if number else 0.0}.get(kind, 1.0)
        add = {"add": number, "sub": -number}.get(kind, 0.0)
        if (multiply, add) == (1.0, 0.0):
            return a
        return site.emit("scalar", a, multiply, add)

    return Rule(build)


def _tensor(site: Site, number: float) -> Node:
    return site.constant("number", torch.tensor([number]))


def _extreme(kind: str) -> Rule:
    def build(site: Site) -> Node:
        return site.emit("binary", site.args["self"], site.args["other"], kind)

    return Rule(build)


def _reciprocal(site: Site) -> Node:
    return site.emit("binary", _tensor(site, 1.0), site.x, "div")


RULES: dict[object, Rule] = {
    aten.relu.default: _activation("relu"),
    aten.relu6.default: _activation("relu6"),
    aten.gelu.default: Rule(_gelu),
    aten.silu.default: _activation("silu"),
    aten.hardswish.default: _activation("hardswish"),
    aten.hardsigmoid.default: _activation("hardsigmoid"),
    aten.sigmoid.default: _activation("sigmoid"),
    aten.tanh.default: _activation("tanh"),
    aten.exp.default: _activation("exp"),
    aten.clamp.default: Rule(_clamp),
    aten.add.Tensor: _arithmetic("add"),
    aten.sub.Tensor: _arithmetic("sub"),
    aten.mul.Tensor: _arithmetic("mul"),
    aten.div.Tensor: _arithmetic("div"),
    aten.maximum.default: _extreme("maximum"),
    aten.minimum.default: _extreme("minimum"),
    aten.reciprocal.default: Rule(_reciprocal),
}
