"""Where an exception came from."""

import pytest
import torch
from torch import Tensor, nn

from efcompile.capture.blame import first_line, place_of


class Failing(nn.Module):
    """Fails inside torch."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ torch.ones(7, 7)


def _failure(model: nn.Module) -> Exception:
    with pytest.raises(RuntimeError) as caught:
        model(torch.ones(2, 2))
    return caught.value


def test_the_innermost_submodule_and_line_are_named() -> None:
    model = nn.Sequential(nn.Identity(), nn.Sequential(Failing()))
    place = place_of(_failure(model), model)
    assert place.startswith(" (in submodule 1.0, at test_blame.py:")
    assert place.endswith("return x @ torch.ones(7, 7))")


def test_the_model_itself_is_named_by_class() -> None:
    model = Failing()
    assert place_of(_failure(model), model).startswith(" (in Failing, at ")


def test_without_frames_there_is_no_place() -> None:
    assert place_of(ValueError("x"), nn.Identity()) == ""


def test_first_line() -> None:
    assert first_line(ValueError("bad thing.\nmore")) == "bad thing"
    assert first_line(ValueError()) == "ValueError"
