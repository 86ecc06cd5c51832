"""Signal to noise of what a pass changed."""

import math

import pytest
import torch

from efcompile.report.deviation import ratio_db, stage_snrs
from tests.report.blocks import Rough, Swapped, subject


def test_decibels() -> None:
    wanted = torch.tensor([3.0, 4.0])
    assert ratio_db([wanted], [wanted]) is None
    assert ratio_db([wanted + torch.tensor([0.0, 0.05])], [wanted]) == pytest.approx(40, abs=0.01)
    # All outputs together.
    both = ratio_db([wanted, wanted + 1], [wanted, wanted])
    assert both == pytest.approx(10 * math.log10(50 / 2))


def test_what_is_not_finite_does_not_count() -> None:
    wanted = torch.tensor([3.0, 4.0, math.inf])
    got = torch.tensor([3.0, 4.5, math.inf])
    assert ratio_db([got], [wanted]) == pytest.approx(20.0)
    assert ratio_db([torch.tensor([1.0])], [torch.tensor([0.0])]) == pytest.approx(-3233, abs=1)


def test_every_pass_is_compared_with_the_stage_before() -> None:
    folded, swapped, rough, scaled, legal = stage_snrs(
        subject("fold-batchnorm", Swapped(), Rough(), "fold-layer-scale")
    )
    assert folded is not None and 90 < folded < 200
    assert swapped is None, "x + y is y + x to the last bit"
    assert rough is not None and rough < 30
    assert scaled is None
    # As close as rounding, although far from the captured graph by now.
    assert legal is None or legal > 90
