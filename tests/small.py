"""Small models for tests of the whole path."""

import torch
from torch import Tensor, nn

from efcompile.models.randomize import randomize

SIDE, CLASSES = 17, 6


class Small(nn.Module):
    """An image [N, 3, 17, 17] to logits [N, 6]: convolution, batch norm, activation, a residual
    branch, head."""

    default_input_size = (3, SIDE, SIDE)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(12)
        self.mix = nn.Conv2d(12, 12, 1)
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.gelu(self.norm(self.stem(x)))
        x = x + self.mix(x)
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


class Named(Small):
    """The same, with its logits inside a dictionary and a tuple."""

    def forward(self, x: Tensor) -> dict[str, object]:  # type: ignore[override]
        logits = super().forward(x)
        return {"logits": logits, "more": (logits.relu(),)}


class Branching(Small):
    """A model whose shapes depend on the values of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if bool(x.sum() > 0) else x.flatten(1)


def small() -> Small:
    """`Small` in eval mode with random weights."""
    return randomize(Small().eval())


def branching() -> Branching:
    """`Branching` in eval mode with random weights."""
    return randomize(Branching().eval())


def image(batch: int = 1, seed: int = 0) -> Tensor:
    """An input of the small models."""
    return torch.randn(batch, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


class Unfoldable(Small):
    """A batch norm between two activations: nothing linear on either side."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(nn.functional.gelu(self.stem(x))).relu()
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def unfoldable() -> Unfoldable:
    """`Unfoldable` in eval mode with random weights."""
    return randomize(Unfoldable().eval())
