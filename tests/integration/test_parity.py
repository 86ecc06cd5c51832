"""Whole models, compiled for this machine, against eager PyTorch.

On two inputs each: the example and a fresh one, to 1e-4 of the output's scale.
"""

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

import efcompile
from benchmarks.models import FAMILIES, FIRST_LIST, MORE_MOBILE
from efcompile.api import CompiledModel
from efcompile.bundle.sample import TOLERANCE, relative_error
from efcompile.models.input_size import default_input_size
from efcompile.models.randomize import randomize
from efcompile.models.zoo import create, resolve_model

REST = [pytest.param(m, marks=pytest.mark.parity) for m in FIRST_LIST if m not in FAMILIES]


def _compile(module: nn.Module, *shape: int) -> CompiledModel:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    compiled = efcompile.optimize(module, x, target="host")
    for inputs in (x, torch.randn(shape, generator=torch.Generator().manual_seed(10))):
        with torch.inference_mode():
            wanted = pytree.tree_leaves(module(inputs))
        got = pytree.tree_leaves(compiled(inputs))
        error = relative_error([g.numpy() for g in got], [w.numpy() for w in wanted])
        assert error <= TOLERANCE
    return compiled


def _random(source: str) -> tuple[nn.Module, tuple[int, ...]]:
    module = randomize(resolve_model(source).eval(), seed=3)
    size = default_input_size(module)
    assert size is not None
    return module, size


@pytest.mark.parametrize("source", [*FAMILIES, *REST])
def test_first_list_without_leftovers(source: str) -> None:
    module, size = _random(source)
    compiled = _compile(module, 1, *size)
    assert compiled.bundle.manifest.leftovers == ()


@pytest.mark.parametrize("source", FAMILIES[:2])
def test_batch_of_three(source: str) -> None:
    module, size = _random(source)
    _compile(module, 3, *size)


@pytest.mark.parametrize("resolution", [160, 256])
def test_other_resolutions(resolution: int) -> None:
    module = randomize(create("efficientformerv2_s0", resolution=resolution).eval(), seed=4)
    _compile(module, 1, 3, resolution, resolution)


@pytest.mark.parity
@pytest.mark.parametrize("source", MORE_MOBILE)
def test_more_mobile_models(source: str) -> None:
    module, size = _random(source)
    _compile(module, 1, *size)


class _Mixed(nn.Module):
    """What the first list uses, in another order: depthwise before a stem, attention on odd
    token counts before a conv, a pool mixer in between, two heads averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Sequential(
            nn.Conv2d(3, 3, 5, padding=2, groups=3, bias=False), nn.BatchNorm2d(3), nn.Hardswish()
        )
        self.embed = nn.Conv2d(3, 36, 7, stride=7)
        self.pool = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.scale = nn.Parameter(torch.ones(36))
        self.norm = nn.LayerNorm(36)
        self.qkv = nn.Linear(36, 3 * 36)
        self.proj = nn.Linear(36, 36)
        self.up = nn.Sequential(nn.Conv2d(36, 20, 1), nn.BatchNorm2d(20), nn.SiLU())
        self.grouped = nn.Conv2d(20, 40, 3, stride=2, padding=1, groups=4)
        self.final = nn.BatchNorm2d(40)
        self.one, self.two = nn.Linear(40, 11), nn.Linear(40, 11)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.embed(self.depthwise(image))
        x = x + self.scale[:, None, None] * (self.pool(x) - x)
        batch, channels, height, width = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.norm(tokens)).reshape(batch, -1, 3, 4, 9).permute(2, 0, 3, 1, 4)
        mixed = ((q * 9**-0.5) @ k.transpose(-2, -1)).softmax(-1) @ v
        tokens = tokens + self.proj(mixed.transpose(1, 2).reshape(batch, -1, channels))
        x = self.up(tokens.transpose(1, 2).reshape(batch, channels, height, width))
        x = nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear")
        x = self.final(torch.relu(self.grouped(x)))
        pooled = x.mean((2, 3))
        return {"logits": (self.one(pooled) + self.two(pooled)) / 2, "map": x}


def test_a_module_that_mixes_them_in_another_order() -> None:
    x = torch.randn(2, 3, 63, 49, generator=torch.Generator().manual_seed(5))
    module = randomize(_Mixed().eval(), 5, (x,))
    compiled = _compile(module, 2, 3, 63, 49)
    assert compiled.bundle.manifest.leftovers == ()
    got, wanted = compiled(x), module(x)
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(got[name], value, rtol=0, atol=1e-4 * float(value.abs().max()))
