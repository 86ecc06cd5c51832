"""Activations against torch's modules, NaN and infinity included."""

import pytest
import torch
from torch import nn

from efcompile.ops.activation import ACTIVATIONS, activation, apply

MODULES = {
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU("tanh"),
    "silu": nn.SiLU(),
    "hardswish": nn.Hardswish(),
    "hardsigmoid": nn.Hardsigmoid(),
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "none": nn.Identity(),
}
X = torch.tensor([-torch.inf, -9.0, -1.5, -0.0, 0.3, 3.0, 7.0, torch.inf, torch.nan])


@pytest.mark.parametrize("act", sorted(MODULES))
def test_is_torchs(act: str) -> None:
    torch.testing.assert_close(activation(X, act), MODULES[act](X), equal_nan=True, rtol=0, atol=0)


def test_exp() -> None:
    torch.testing.assert_close(activation(X, "exp"), X.exp(), equal_nan=True)


def test_every_activation_is_tested() -> None:
    assert set(ACTIVATIONS) == {*MODULES, "exp"}


def test_residual_comes_after_the_activation() -> None:
    y = apply(torch.tensor([-1.0, 2.0]), "relu", torch.tensor([-5.0, -5.0]))
    assert y.tolist() == [-5.0, -3.0]
