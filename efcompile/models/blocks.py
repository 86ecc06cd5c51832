"""Building blocks and checks that both generations of EfficientFormer share."""

from typing import cast

import torch
from torch import Tensor, nn

from efcompile.errors import InputError

# The stem and three downsamplings halve the image five times.
TOTAL_STRIDE = 32
LAYER_SCALE_INIT = 1e-5


class LayerScale(nn.Module):
    """A learned factor per channel, in front of a residual addition.

    Input and output: ``[N, T, C]``, or ``[N, C, H, W]`` when ``spatial``.
    """

    def __init__(self, channels: int, *, spatial: bool) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), LAYER_SCALE_INIT))
        self.spatial = spatial

    def forward(self, x: Tensor) -> Tensor:
        gamma = self.gamma.view(-1, 1, 1) if self.spatial else self.gamma
        return x * gamma


class TwoHeads(nn.Module):
    """Base of a classifier whose answer is the mean of a plain and a distilled head.

    Subclasses own the features; the heads sit on the model itself so that their weights are
    named ``head`` and ``head_dist``.
    """

    def __init__(self, channels: int, resolution: int, num_classes: int) -> None:
        super().__init__()
        check_resolution(resolution)
        if num_classes < 1:
            raise InputError(f"num_classes is {num_classes}; a classifier needs at least one")
        self.default_input_size = (3, resolution, resolution)
        self.head = classifier(channels, num_classes)
        self.head_dist = classifier(channels, num_classes)

    def check_input(self, x: Tensor) -> None:
        """Refuse images that the attention bias tables were not made for."""
        if tuple(x.shape[1:]) != self.default_input_size:
            want = ", ".join(map(str, self.default_input_size))
            raise InputError(
                f"the model takes images [N, {want}], got {list(x.shape)}; "
                "build it with resolution=... for another size"
            )

    def classify(self, features: Tensor) -> Tensor:
        """Pooled features ``[N, C]`` to logits ``[N, num_classes]``."""
        return cast(Tensor, (self.head(features) + self.head_dist(features)) / 2)


def classifier(channels: int, num_classes: int) -> nn.Linear:
    """A linear head with the usual start: truncated normal weights, zero bias."""
    head = nn.Linear(channels, num_classes)
    nn.init.trunc_normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)
    return head


def check_resolution(resolution: int) -> None:
    """Raise `InputError` unless every stage gets a whole, even number of pixels."""
    if resolution < TOTAL_STRIDE or resolution % TOTAL_STRIDE:
        nearest = max(TOTAL_STRIDE, round(resolution / TOTAL_STRIDE) * TOTAL_STRIDE)
        raise InputError(
            f"resolution {resolution} is not a multiple of {TOTAL_STRIDE}; "
            f"the nearest that works is {nearest}"
        )
