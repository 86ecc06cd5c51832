"""Activations and arithmetic. They work in any layout, so nothing is permuted around them."""

from collections.abc import Callable
from typing import Any

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


def _clamp(low: str, high: str) -> Rule:
    """Bounds as constants: maximum and minimum pass NaN on, as clamp does."""

    def refuse(site: Site) -> str | None:
        bounds = (site.args.get(low), site.args.get(high))
        if any(isinstance(bound, Node) for bound in bounds):
            return "its bounds are tensors"
        return None

    def build(site: Site) -> Node:
        bounds = (site.args.get(low), site.args.get(high))
        if bounds in ((0, 6), (0, None)):
            return site.emit("activation", site.x, "relu6" if bounds[1] == 6 else "relu")
        y = site.x
        for kind, bound in zip(("maximum", "minimum"), bounds, strict=True):
            if bound is not None:
                limit = site.constant("bound", torch.tensor([float(bound)]))
                y = site.emit("binary", y, limit, kind)
        return y

    return Rule(build, refuse)


def _number(site: Site, operand: object) -> float | None:
    """A Python number, or a one-element constant of no more dimensions than the result."""
    if isinstance(operand, int | float):
        return float(operand)
    value = site.value(operand)
    if value is None or value.numel() != 1 or value.dim() > len(shape(site.node)):
        return None
    return float(value.item())


def _arithmetic(kind: str, swapped: bool = False) -> Rule:
    """``a <kind> alpha * b`` of tensors, or of a tensor and a number."""

    def refuse(site: Site) -> str | None:
        if site.args.get("rounding_mode") is not None:
            return "divides with rounding"
        return None

    def build(site: Site) -> Node:
        a, b = site.args["self"], site.args["other"]
        a, b = (b, a) if swapped else (a, b)
        alpha = float(site.args.get("alpha", 1))
        left, right, whole = _number(site, a), _number(site, b), shape(site.node)
        if right is not None and _shape_of(a) == whole and not (kind == "div" and right == 0):
            multiply = {"mul": right, "div": 1 / right if right else 0.0}.get(kind, 1.0)
            add = {"add": right * alpha, "sub": -right * alpha}.get(kind, 0.0)
            return _scalar(site, a, multiply, add)
        if left is not None and _shape_of(b) == whole and kind != "div":
            multiply = {"mul": left, "sub": -alpha}.get(kind, alpha)
            return _scalar(site, b, multiply, 0.0 if kind == "mul" else left)
        a, b = _tensor(site, a), _tensor(site, b)
        if alpha != 1:
            b = site.emit("scalar", b, alpha, 0.0)
        return site.emit("binary", a, b, kind)

    return Rule(build, refuse)


def _scalar(site: Site, x: Node, multiply: float, add: float) -> Node:
    return x if (multiply, add) == (1.0, 0.0) else site.emit("scalar", x, multiply, add)


def _shape_of(operand: object) -> tuple[int, ...] | None:
    """Shape of a node; None for a number."""
    return shape(operand) if isinstance(operand, Node) else None


def _tensor(site: Site, operand: Any) -> Node:
    if isinstance(operand, Node):
        return operand
    return site.constant("number", torch.tensor([float(operand)]))


def _extreme(kind: str) -> Rule:
    def build(site: Site) -> Node:
        return site.emit("binary", site.args["self"], site.args["other"], kind)

    return Rule(build)


def _scaled(multiply: float) -> Callable[[Site], Node]:
    return lambda site: site.emit("scalar", site.x, multiply, 0.0)


def _refuse_power(site: Site) -> str | None:
    if site.args["exponent"] != 2:
        return f"power {site.args['exponent']} has no channels-last op"
    return None


def _square(site: Site) -> Node:
    return site.emit("binary", site.x, site.x, "mul")


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
    aten.hardtanh.default: _clamp("min_val", "max_val"),
    aten.clamp.default: _clamp("min", "max"),
    aten.clamp_min.default: _clamp("min", "max"),
    aten.clamp_max.default: _clamp("min", "max"),
    aten.add.Tensor: _arithmetic("add"),
    aten.add.Scalar: _arithmetic("add"),
    aten.sub.Tensor: _arithmetic("sub"),
    aten.sub.Scalar: _arithmetic("sub"),
    aten.rsub.Tensor: _arithmetic("sub", swapped=True),
    aten.rsub.Scalar: _arithmetic("sub", swapped=True),
    aten.mul.Tensor: _arithmetic("mul"),
    aten.mul.Scalar: _arithmetic("mul"),
    aten.div.Tensor: _arithmetic("div"),
    aten.div.Scalar: _arithmetic("div"),
    aten.maximum.default: _extreme("maximum"),
    aten.minimum.default: _extreme("minimum"),
    aten.neg.default: Rule(_scaled(-1.0)),
    aten.reciprocal.default: Rule(_reciprocal),
    aten.pow.Tensor_Scalar: Rule(_square, _refuse_power),
}
