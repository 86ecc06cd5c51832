"""What is left in a graph, counted by kind."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from efcompile.passes.accounting import account
from tests.passes.dialect import image, legalised


class Untidy(nn.Module):
    """One of everything that can be left."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x).relu())
        y = torch.cat([y[:, :2], y[:, [1, 3]]], 1)
        y = y + torch.special.erfc(y).transpose(2, 3)
        return F.pad(y, (1, 0))


def test_lists_every_kind() -> None:
    found = account(legalised(Untidy(), image(2, 4, 5, 5)))
    assert len(found.batch_norms) == len(found.gathers) == len(found.leftovers) == 1
    assert "erfc" in found.leftovers[0]
    assert found.counts["conv2d"] == 1 and "reshape" not in found.counts
    assert len(found.permutes) == found.counts["permute"] > 0
    kinds = ("slice", "concat", "pad")
    assert len(found.copies) == sum(found.counts[kind] for kind in kinds) == 3


def test_nothing_left() -> None:
    found = account(legalised(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), image(2, 4)))
    assert (found.batch_norms, found.gathers, found.permutes, found.copies, found.leftovers) == (
        (), (), (), (), (),
    )  # fmt: skip
    assert found.counts == {"linear": 1, "activation": 1}
