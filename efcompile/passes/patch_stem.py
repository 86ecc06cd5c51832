"""A stem of 3x3 stride-2 convolutions fitted to what a patch embedding computes.

The stem is EfficientFormer's: convolution, batch norm, ReLU, and so on, with no ReLU after the
last.  Its widths double up to the embedding's.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_BATCH = 64
_RATE = 3e-3
_RIDGE = 1e-6


@dataclass(frozen=True)
class Fit:
    """A fitted stem in eval mode and its relative errors |stem(x) - y| / |y| (Frobenius) over the
    calibration data, before and after the fit."""

    stem: nn.Sequential
    error_before: float
    error_after: float


def fit_stem(images: Tensor, embedded: Tensor, layers: int, steps: int, seed: int) -> Fit:
    """Fit a stem of `layers` convolutions to map `images` [N, C, H, W] to `embedded`
    [N, O, H / 2**layers, W / 2**layers].

    `steps` of Adam on the squared error, then the last convolution in closed form; with 0
    steps there is no fit at all, only batch norm statistics.  Depends on the arguments alone,
    not on torch's global generator.
    """
    generator = torch.Generator().manual_seed(seed)
    stem = _build(images.shape[1], embedded.shape[1], layers, generator)
    _measure_statistics(stem, images)
    before = _relative_error(stem, images, embedded)
    if steps == 0:
        return Fit(stem, before, before)
    optimizer = torch.optim.Adam(stem.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    scale = embedded.square().mean()
    stem.train()
    with torch.enable_grad():
        for _ in range(steps):
            picked = torch.randint(len(images), (_BATCH,), generator=generator)
            loss = (stem(images[picked]) - embedded[picked]).square().mean() / scale
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    _measure_statistics(stem, images)
    _solve_last(stem, images, embedded)
    return Fit(stem, before, _relative_error(stem, images, embedded))


def _build(inputs: int, outputs: int, layers: int, generator: torch.Generator) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):  # layers draw weights of their own when made
        stem = _layers(inputs, outputs, layers)
    for module in stem:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
    return stem


def _layers(inputs: int, outputs: int, layers: int) -> nn.Sequential:
    stem = nn.Sequential()
    for layer in range(layers):
        width = max(outputs >> (layers - 1 - layer), 1)
        stem.extend([nn.Conv2d(inputs, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width)])
        if layer < layers - 1:
            stem.append(nn.ReLU())
        inputs = width
    return stem


@torch.no_grad()
def _measure_statistics(stem: nn.Sequential, images: Tensor) -> None:
    """Batch norm statistics over all of `images`, exactly; leaves the stem in eval mode."""
    stem.eval()
    x = images
    for module in stem:
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.copy_(x.mean((0, 2, 3)))
            module.running_var.copy_(x.var((0, 2, 3), correction=0))
        x = torch.cat([module(part) for part in torch.split(x, _BATCH)])


@torch.no_grad()
def _solve_last(stem: nn.Sequential, images: Tensor, embedded: Tensor) -> None:
    """The last convolution and norm that fit best, by least squares."""
    conv, norm = stem[-2], stem[-1]
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None and norm.running_var is not None
    width = conv.weight[0].numel() + 1
    gram = torch.zeros(width, width, dtype=torch.float64)
    cross = torch.zeros(width, len(conv.weight), dtype=torch.float64)
    for x, y in _parts(images, embedded):
        patches = F.unfold(stem[:-2](x), 3, padding=1, stride=2).transpose(1, 2).flatten(0, 1)
        rows = F.pad(patches.double(), (0, 1), value=1.0)
        gram += rows.T @ rows
        cross += rows.T @ y.flatten(2).transpose(1, 2).flatten(0, 1).double()
    gram.diagonal().add_(_RIDGE * gram.diagonal().mean())
    solution = torch.linalg.solve(gram, cross)
    conv.weight.copy_(solution[:-1].T.reshape(conv.weight.shape))
    # The norm keeps real statistics, for fine-tuning, and here only adds the constant.
    outputs = torch.cat([conv(stem[:-2](x)) for x, _ in _parts(images, embedded)])
    norm.running_mean.copy_(outputs.mean((0, 2, 3)))
    norm.running_var.copy_(outputs.var((0, 2, 3), correction=0))
    norm.weight.copy_((norm.running_var + norm.eps).sqrt())
    norm.bias.copy_(norm.running_mean + solution[-1])


@torch.no_grad()
def _relative_error(stem: nn.Sequential, images: Tensor, embedded: Tensor) -> float:
    gap = sum(float((stem(x) - y).square().sum()) for x, y in _parts(images, embedded))
    return float((gap / float(embedded.square().sum())) ** 0.5)


def _parts(images: Tensor, embedded: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    yield from zip(torch.split(images, _BATCH), torch.split(embedded, _BATCH), strict=True)
