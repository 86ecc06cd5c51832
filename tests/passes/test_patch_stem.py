"""Fitting a stem to a patch embedding."""

import torch
from torch import nn

from efcompile.passes.patch_stem import fit_stem
from tests.passes.dialect import image


def _case() -> tuple[torch.Tensor, torch.Tensor]:
    images = image(40, 2, 8, 12)
    weight = image(16, 2, 4, 4, seed=1) / 5
    return images, nn.functional.conv2d(images, weight, image(16, seed=2), 4)


def test_the_fit_lowers_the_error_it_reports() -> None:
    images, embedded = _case()
    fit = fit_stem(images, embedded, layers=2, steps=60, seed=0)
    assert fit.error_after < 0.5 < fit.error_before
    with torch.no_grad():
        got = fit.stem(images)
    assert got.shape == embedded.shape
    error = float((got - embedded).norm() / embedded.norm())
    assert abs(error - fit.error_after) < 1e-4


def test_the_stem_is_efficientformers() -> None:
    images, embedded = _case()
    stem = fit_stem(images, embedded, layers=2, steps=1, seed=0).stem
    kinds = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Conv2d, nn.BatchNorm2d]
    assert [type(module) for module in stem] == kinds
    first = stem[0]
    assert isinstance(first, nn.Conv2d)
    assert (first.kernel_size, first.stride, first.out_channels) == ((3, 3), (2, 2), 8)
    assert not stem.training


def test_one_layer_has_no_relu() -> None:
    images = image(9, 2, 6, 6)
    embedded = nn.functional.conv2d(images, image(5, 2, 2, 2, seed=1), None, 2)
    fit = fit_stem(images, embedded, layers=1, steps=2, seed=0)
    assert [type(module) for module in fit.stem] == [nn.Conv2d, nn.BatchNorm2d]
    assert fit.error_after < 1e-3, "a 3x3 kernel contains the 2x2 one: least squares finds it"


def test_no_steps_no_fit() -> None:
    images, embedded = _case()
    fit = fit_stem(images, embedded, layers=2, steps=0, seed=0)
    assert fit.error_after == fit.error_before


def test_it_depends_on_its_arguments_alone() -> None:
    images, embedded = _case()
    state = torch.get_rng_state()
    first = fit_stem(images, embedded, layers=2, steps=5, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    second = fit_stem(images, embedded, layers=2, steps=5, seed=3)
    assert first.error_after == second.error_after
    other = fit_stem(images, embedded, layers=2, steps=5, seed=4)
    assert other.error_after != first.error_after
