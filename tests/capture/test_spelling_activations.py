"""Activations: one operator for each function."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.capture.spellings import Function, random, spelled

CASES: dict[str, tuple[Function, str]] = {
    "relu": (F.relu, "relu.default"),
    "clamp_min": (lambda x: x.clamp(min=0), "relu.default"),
    "relu6": (F.relu6, "relu6.default"),
    "relu6_module": (nn.ReLU6(), "relu6.default"),
    "clamp6": (lambda x: x.clamp(0, 6), "relu6.default"),
    "clamp": (lambda x: x.clamp(-1, 2), "clamp.default"),
    "clamp_max": (lambda x: x.clamp(max=1), "clamp.default"),
    "hardtanh": (F.hardtanh, "clamp.default"),
    "silu": (F.silu, "silu.default"),
    "hardswish": (F.hardswish, "hardswish.default"),
    "hardsigmoid": (F.hardsigmoid, "hardsigmoid.default"),
    "sigmoid": (torch.special.expit, "sigmoid.default"),
    "gelu": (F.gelu, "gelu.default"),
    "gelu_tanh": (lambda x: F.gelu(x, approximate="tanh"), "gelu.default"),
    "inplace": (lambda x: F.silu(x + 0, inplace=True), "silu.default"),
}


def _values() -> Tensor:
    odd = torch.tensor([math.nan, math.inf, -math.inf, 0.0, 6.0])
    return torch.cat([random(50) * 4, odd])


@pytest.mark.parametrize("name", CASES)
def test_one_spelling(name: str) -> None:
    function, wanted = CASES[name]
    assert spelled(function, _values())[-1] == wanted
