"""swap-patch-embed: the exact product, and the fitted stem."""

import re

import pytest
import torch
from torch import Tensor, nn

from efcompile.errors import InputError
from efcompile.passes.fold_batchnorm import FoldBatchnorm
from efcompile.passes.manager import run_pipeline
from efcompile.passes.swap_patch_embed import SwapPatchEmbed
from tests.passes.dialect import captured, check_pass, check_well_formed, counts, image, reasons

IMAGE = (2, 3, 8, 12)


class Embed(nn.Module):
    """Patches to tokens to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 4, 4)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        logits: Tensor = self.head(nn.functional.gelu(tokens).mean(1))
        return logits


EXACT: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "square": (Embed(), IMAGE),
    "no_bias": (nn.Conv2d(3, 6, 2, 2, bias=False), IMAGE),
    "oblong": (nn.Conv2d(3, 6, (2, 3), (2, 3)), IMAGE),
    "inside": (nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 2, 2), nn.ReLU()), IMAGE),
}


@pytest.mark.parametrize("name", EXACT)
def test_the_exact_form_is_one_product(name: str) -> None:
    model, size = EXACT[name]
    x = image(*size)
    graph_module = captured(model, x)
    before = counts(graph_module)
    outcome = check_pass(SwapPatchEmbed(), graph_module, x)
    after = counts(graph_module)
    assert len(outcome.rewritten) == 1
    assert after.get("conv2d", 0) == before["conv2d"] - 1
    assert after["linear"] == before.get("linear", 0) + 1


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "overlapping": (nn.Conv2d(3, 6, 7, 4, 2), "kernel 7x7, stride 4x4"),
    "stem": (nn.Conv2d(3, 6, 3, 2, 1), "kernel 3x3, stride 2x2"),
    "padded": (nn.Conv2d(3, 6, 4, 4, 2), "padded"),
    "grouped": (nn.Conv2d(3, 6, 4, 4, groups=3), "grouped"),
    "dilated": (nn.Conv2d(3, 6, 2, 2, dilation=3), "dilated"),
    "remainder": (nn.Conv2d(3, 6, 5, 5), "no whole number of 5x5 patches"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_say_why(name: str) -> None:
    model, reason = REFUSED[name]
    x = image(*IMAGE)
    outcome = check_pass(SwapPatchEmbed(), captured(model, x), x)
    assert not outcome.rewritten
    assert reason in reasons(outcome)


def test_computed_weights_are_refused() -> None:
    class Computed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.conv2d(x, x[:, :, :2, :2].exp(), stride=2)

    x = image(*IMAGE)
    outcome = check_pass(SwapPatchEmbed(), captured(Computed(), x), x)
    assert "not constant" in reasons(outcome)


def test_the_approximate_form_reports_its_errors() -> None:
    x = image(*IMAGE)
    calibration = image(33, *IMAGE[1:], seed=5)  # not a multiple of the batch
    graph_module = captured(Embed(), x)
    step = SwapPatchEmbed(form="approximate", calibration=calibration, steps=40)
    assert step.exactness == "approximate" and SwapPatchEmbed().exactness == "exact"
    (stage,) = run_pipeline(graph_module, (x,), [step])
    assert stage.record.approximate and stage.record.relative_error > 0
    left = counts(stage.graph_module)
    assert (left["conv2d"], left["batch_norm"], left["relu"]) == (2, 2, 1)
    (said,) = stage.record.outcome.rewritten
    before, after = (float(v) for v in re.findall(r"(\d+\.\d+) (?:before|after)", said))
    assert after < before
    assert re.search(r"top-1 agreement \d+\.\d% on 33 calibration images; fine-tune", said)
    check_well_formed(stage.graph_module, (x,))
    assert step.run(stage.graph_module).rewritten == ()


def test_its_norms_fold() -> None:
    x = image(*IMAGE)
    step = SwapPatchEmbed(form="approximate", calibration=image(8, *IMAGE[1:]), steps=0)
    stages = run_pipeline(captured(Embed(), x), (x,), [step, FoldBatchnorm()])
    assert "batch_norm" not in counts(stages[-1].graph_module)


class Sum(nn.Module):
    """A model with two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 6, 4, 4)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        result: Tensor = self.embed(x) + y
        return result


def test_approximate_refusals_say_why() -> None:
    x = image(*IMAGE)
    step = SwapPatchEmbed(form="approximate", calibration=image(4, *IMAGE[1:]), steps=0)
    odd = captured(nn.Conv2d(3, 6, (4, 3), (4, 3)), x)
    assert "no power of two" in reasons(step.run(odd))
    inside = captured(nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 6, 4, 4)), x)
    assert "only input" in reasons(step.run(inside))
    two = captured(Sum(), x, image(2, 6, 2, 3))
    assert "only input" in reasons(step.run(two))


def test_bad_options_are_refused() -> None:
    images = image(4, *IMAGE[1:])
    with pytest.raises(InputError, match="needs calibration"):
        SwapPatchEmbed(form="approximate")
    with pytest.raises(InputError, match="takes no calibration"):
        SwapPatchEmbed(calibration=images)
    with pytest.raises(InputError, match="'exact' or 'approximate'"):
        SwapPatchEmbed(form="rough")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="negative"):
        SwapPatchEmbed(form="approximate", calibration=images, steps=-1)


def test_calibration_of_another_size_is_refused() -> None:
    x = image(*IMAGE)
    step = SwapPatchEmbed(form="approximate", calibration=torch.zeros(4, 3, 9, 9), steps=0)
    with pytest.raises(InputError, match=r"calibration images are \[4, 3, 9, 9\].*3, 8, 12"):
        step.run(captured(Embed(), x))
