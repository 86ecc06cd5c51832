"""Small models with one fused op each, of odd sizes."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import GraphModule

from efcompile.passes.base import Pass
from efcompile.passes.fuse_ffn import FuseFfn
from efcompile.passes.fuse_mlp import FuseMlp
from efcompile.passes.fuse_pool_mixer import FusePoolMixer
from efcompile.passes.fuse_separable import FuseSeparable
from tests.passes.dialect import after, legalised, with_epilogues


class Mlp(nn.Module):
    def __init__(self, residual: bool) -> None:
        super().__init__()
        self.fc1, self.fc2, self.residual = nn.Linear(6, 12), nn.Linear(12, 6, False), residual

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return x + y if self.residual else y


class Ffn(nn.Module):
    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.stem, self.act = nn.Conv2d(3, 6, 3, padding=1), nn.GELU()
        self.fc1, self.fc2 = nn.Conv2d(6, 12, 1), nn.Conv2d(12, 6, 1)
        self.mid = nn.Conv2d(12, 12, kernel, stride, kernel // 2, groups=12)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        out: Tensor = self.fc2(self.act(self.mid(F.relu(self.fc1(y)))))
        return (out + y if out.shape == y.shape else out).mean((2, 3))


class Separable(nn.Module):
    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.stem, self.act = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU6()
        self.mid = nn.Conv2d(6, 6, (3, 5), 1, (dilation, 2 * dilation), dilation, groups=6)
        self.point = nn.Conv2d(6, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.stem(x))
        out: Tensor = self.act(self.point(self.act(self.mid(y)))) + y
        return out.mean((2, 3))


class Mixer(nn.Module):
    def __init__(self, kernel: int, scale: bool, residual: bool) -> None:
        super().__init__()
        self.stem, self.pool = (
            nn.Conv2d(3, 6, 3, padding=1),
            nn.AvgPool2d(kernel, 1, kernel // 2, count_include_pad=False),
        )
        self.gamma = nn.Parameter(torch.rand(6) + 0.5)
        self.scale, self.residual = scale, residual

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.stem(x)
        mixed: Tensor = self.pool(y) - y
        if self.scale:
            mixed = self.gamma[:, None, None] * mixed
        return (y + mixed if self.residual else mixed).mean((2, 3))


def fused(model: nn.Module, fuse: Pass, x: Tensor) -> GraphModule:
    """The model's graph with its one fused op."""
    prepare = legalised if isinstance(fuse, FusePoolMixer) else with_epilogues
    return after([fuse], prepare(model, x))


X, ROWS = (2, 3, 7, 9), (2, 5, 6)
"""Inputs: an image, and rows."""
CASES = [
    (Mlp(True), FuseMlp(), ROWS, {"linear": 2}),
    (Mlp(False), FuseMlp(), ROWS, {"linear": 2}),
    (Ffn(3, 1), FuseFfn(), X, {"linear": 2, "conv2d": 2, "mean": 1}),
    (Ffn(5, 2), FuseFfn(), X, {"linear": 2, "conv2d": 2, "mean": 1}),
    (Separable(1), FuseSeparable(), X, {"linear": 1, "conv2d": 2, "mean": 1}),
    (Separable(2), FuseSeparable(), X, {"linear": 1, "conv2d": 2, "mean": 1}),
    (
        Mixer(3, True, True),
        FusePoolMixer(),
        X,
        {"conv2d": 1, "avg_pool2d": 1, "binary": 3, "mean": 1},
    ),
    (
        Mixer(5, False, False),
        FusePoolMixer(),
        X,
        {"conv2d": 1, "avg_pool2d": 1, "binary": 1, "mean": 1},
    ),
]
"""Model, the pass that fuses it, input, and the ops once it is apart."""
