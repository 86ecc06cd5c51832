"""Whole models through the whole pipeline: the graphs an expert would draw, nothing left over.

Run with ``-rP`` to see each model's op counts.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import nn

from efcompile.capture import capture
from efcompile.models import zoo
from efcompile.models.randomize import randomize
from efcompile.models.timm_source import import_timm
from efcompile.passes.accounting import Accounting, account
from efcompile.passes.base import Outcome
from efcompile.passes.manager import run_pipeline
from efcompile.passes.pipeline import PIPELINE
from tests.passes.dialect import check_well_formed, results


@dataclass(frozen=True)
class Case:
    """A model at a size, the ops of its final graph, and the data movement that is real.
    `options` build the model for that size where it has to know."""

    name: str
    size: int
    counts: dict[str, int]
    permutes: int = 0
    copies: int = 0
    batch: int = 1
    options: dict[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        if self.name.startswith("timm:"):
            create = import_timm().create_model
            model: nn.Module = create(self.name[5:], pretrained=False, **self.options)
            return model
        return zoo.create(self.name, resolution=self.size)


def v1(mixers: int, blocks: int) -> dict[str, int]:
    """A V1 network: stem and downsamples, MB4D blocks of two ops, MB3D blocks of five."""
    return {
        "conv2d": 5, "pool_mixer": mixers, "mlp": mixers, "norm_linear": 2 * blocks,
        "attention": blocks, "linear": 2 * blocks, "pool_linear": 1,
    }  # fmt: skip


def v2(ffns: int, blocks: int) -> dict[str, int]:
    """A V2 network with `blocks` attention blocks in each of the last two stages: merged
    projection, attention (that convolves its values and activates), projection; in the third
    stage a strided convolution before, with the projection, and a resize (that takes the
    activation) behind. The attention that downsamples has its own q, from a depthwise
    convolution."""
    return {
        "conv2d": 5, "ffn": ffns, "separable": blocks + 1, "linear": 3 * blocks + 2,
        "attention": 2 * blocks + 1, "resize": blocks, "pool_linear": 1,
    }  # fmt: skip


L1, L3, L7 = v1(14, 1), v1(22, 4), v1(30, 8)
S0, S1, S2, L = v2(14, 2), v2(21, 2), v2(28, 4), v2(35, 6)
DEIT = {"permute": 1, "linear": 25, "concat": 1, "binary": 1, "norm_linear": 25, "attention": 12,
        "slice": 1}  # fmt: skip
POOLFORMER = {"conv2d": 4, "group_norm": 48, "pool_mixer": 24, "mlp": 24, "pool_linear": 1}
LEVIT = {"conv2d": 6, "linear": 28, "attention": 14, "mlp": 14, "pool_linear": 1}
MOBILENET = {"conv2d": 1, "separable": 1, "ffn": 16, "linear": 1, "pool_linear": 1}
MOBILEVIT = {"conv2d": 7, "ffn": 7, "linear": 25, "permute": 6, "norm_linear": 18, "attention": 9,
             "layer_norm": 3, "concat": 3, "pool_linear": 1}  # fmt: skip

SMALL = (
    Case("efficientformer_l1", 64, L1),
    Case("efficientformerv2_s0", 64, S0, batch=3),
    # The patches of the model's own NCHW input; the class token, put in and taken out.
    Case("timm:deit_small_patch16_224", 64, DEIT, 1, 2, options={"img_size": 64}),
    Case("timm:poolformer_s24", 64, POOLFORMER),
    Case("timm:levit_256", 64, LEVIT, options={"img_size": 64}),
    Case("timm:mobilenetv2_100", 64, MOBILENET),
    # Unfolding and folding 2x2 patches moves pixels in each of three blocks; so does joining
    # each block's result with its input.
    Case("timm:mobilevit_xs", 128, MOBILEVIT, 6, 3),
)


LARGE = (
    Case("efficientformer_l1", 224, L1),
    Case("efficientformer_l3", 224, L3),
    Case("efficientformer_l7", 224, L7),
    Case("efficientformerv2_s0", 224, S0),
    Case("efficientformerv2_s1", 224, S1),
    Case("efficientformerv2_s2", 224, S2),
    Case("efficientformerv2_l", 224, L),
    Case("timm:efficientformer_l1", 224, L1),
    Case("timm:efficientformer_l3", 224, L3),
    Case("timm:efficientformer_l7", 224, L7),
    Case("timm:efficientformerv2_s0", 224, S0),
    Case("timm:efficientformerv2_s1", 224, S1),
    Case("timm:efficientformerv2_s2", 224, S2),
    Case("timm:efficientformerv2_l", 224, L),
    Case("timm:deit_small_patch16_224", 224, DEIT, 1, 2),
    Case("timm:poolformer_s24", 224, POOLFORMER),
    Case("timm:levit_256", 224, LEVIT),
    Case("timm:mobilenetv2_100", 224, MOBILENET),
    Case("timm:mobilevit_xs", 256, MOBILEVIT, 6, 3),
)


def compiled(case: Case) -> tuple[Accounting, list[Outcome], float]:
    """The final graph's accounting, the passes' outcomes, and the error against eager."""
    generator = torch.Generator().manual_seed(0)
    # Statistics over several images: the last maps are a pixel or four.
    many = torch.randn(8, 3, case.size, case.size, generator=generator)
    model, x = randomize(case.build().eval(), example_inputs=(many,)), many[: case.batch]
    graph_module = capture(model, (x,)).graph_module
    stages = run_pipeline(graph_module, (x,), PIPELINE, verify=False)
    final = stages[-1].graph_module
    check_well_formed(final, (x,))
    with torch.no_grad():
        want = model(x)
    error = (results(final, (x,))[0] - want).abs().max() / want.abs().max()
    return account(final), [stage.record.outcome for stage in stages], float(error)


def check(case: Case) -> None:
    """Right numbers, the expected ops, no batch norm, gather, leftover or free movement left."""
    found, outcomes, error = compiled(case)
    print(f"{case.name} at {case.size}: {found.counts}")
    assert error < 1e-4
    assert found.batch_norms == found.gathers == found.leftovers == ()
    assert (len(found.permutes), len(found.copies)) == (case.permutes, case.copies)
    assert found.counts == case.counts
    explained = " ".join(r.reason for outcome in outcomes for r in outcome.refused)
    assert explained.count("moves data for real") >= case.permutes


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_small(case: Case) -> None:
    check(case)


@pytest.mark.parity
@pytest.mark.parametrize("case", LARGE, ids=lambda case: f"{case.name}-{case.size}")
def test_large(case: Case) -> None:
    check(case)
