"""Two implementations of one model, compared with each other's weights."""

import torch
from torch import nn

from efcompile.models.randomize import randomize


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """max|actual - expected| / max|expected|."""
    assert actual.shape == expected.shape
    return float((actual - expected).abs().max() / expected.abs().max())


@torch.no_grad()
def assert_twins(ours: nn.Module, theirs: nn.Module, resolution: int, batch: int = 1) -> None:
    """Both compute the same from the same weights, whichever the weights came from."""
    ours.eval()
    theirs.eval()
    images = torch.randn(2, batch, 3, resolution, resolution)
    for seed, (source, other) in enumerate(((ours, theirs), (theirs, ours))):
        other.load_state_dict(randomize(source, seed).state_dict())
        # What the copy may have cached belongs to its old weights.
        other.train()
        other.eval()
        expected = theirs(images[seed])
        assert expected.std() > 0.1
        assert relative_error(ours(images[seed]), expected) < 1e-5
