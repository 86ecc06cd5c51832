"""Activations: one operator for each function."""

from typing import Any

import torch

from efcompile.capture.builder import Builder
from efcompile.capture.spelling import Call, spelled

aten = torch.ops.aten

_INFINITY = float("inf")


@spelled(
    "relu.default", "relu6.default", "silu.default", "hardswish.default", "hardsigmoid.default",
    "sigmoid.default", "tanh.default", "exp.default",
)  # fmt: skip
def plain(b: Builder, call: Call) -> Any:
    return b.emit(call.target, next(iter(call.named.values())))


@spelled("gelu.default")
def gelu(b: Builder, call: Call) -> Any:
    """The approximation is always spelled out: ``none`` (erf) or ``tanh``."""
    return b.emit(aten.gelu.default, call["self"], approximate=call["approximate"])


@spelled("special_expit.default")
def expit(b: Builder, call: Call) -> Any:
    return b.emit(aten.sigmoid.default, call["self"])


@spelled("hardtanh.default", "clamp.default", "clip.default", "clamp_min.default")
def clamp(b: Builder, call: Call) -> Any:
    """Clamping to [0, inf) is relu, to [0, 6] relu6; others are clamps with both bounds."""
    low = call.named.get("min_val", call.named.get("min"))
    high = call.named.get("max_val", call.named.get("max"))
    low = -_INFINITY if low is None else float(low)
    high = _INFINITY if high is None else float(high)
    if (low, high) == (0.0, _INFINITY):
        return b.emit(aten.relu.default, call["self"])
    if (low, high) == (0.0, 6.0):
        return b.emit(aten.relu6.default, call["self"])
    return b.emit(aten.clamp.default, call["self"], low, high)
