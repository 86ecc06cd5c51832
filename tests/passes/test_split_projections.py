"""split-projections: only what would be copied leaves the merged projection."""

import pytest
import torch
from torch import Tensor, nn

from efcompile import ops
from efcompile.passes.attention_views import AttentionViews
from efcompile.passes.rewriting import is_op, shape
from efcompile.passes.split_projections import SplitProjections
from tests.passes.attention_models import D, E, H, Interleaved, TalkingHeads
from tests.passes.dialect import after, check_pass, counts, image, reasons, with_attention


def test_values_with_a_convolution_are_projected_apart() -> None:
    x = image(2, 3, 3, 5)
    graph_module = with_attention(TalkingHeads((3, 5), merged=True), x)
    outcome = check_pass(SplitProjections(), graph_module, x)
    assert len(outcome.rewritten) == 1
    widths = sorted(shape(n)[-1] for n in graph_module.graph.nodes if is_op(n, "linear"))
    assert widths == sorted([2 * H * D, H * E, 8])
    after([AttentionViews()], graph_module)
    assert not {"slice", "permute"} & set(counts(graph_module))


def test_what_attention_reads_stays_merged() -> None:
    graph_module = with_attention(Interleaved(7), image(2, 7, 8))
    outcome = check_pass(SplitProjections(), graph_module, image(2, 7, 8))
    assert outcome.rewritten == () and outcome.refused == ()


class Chunks(nn.Module):
    """Columns of one linear for different readers."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.linear, self.kind = nn.Linear(6, 8, bias=kind != "no_bias"), kind

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        first, second = y[..., :4], y[..., 3:7] if self.kind == "overlap" else y[..., 4:]
        out = first.exp() * second.sigmoid()
        return torch.cat([out, y], -1) if self.kind == "whole" else out


@pytest.mark.parametrize("kind", ["bias", "no_bias"])
def test_every_reader_gets_its_own(kind: str) -> None:
    graph_module = with_attention(Chunks(kind), image(2, 5, 6))
    check_pass(SplitProjections(), graph_module, image(2, 5, 6))
    assert counts(graph_module) == {"linear": 2, "activation": 2, "binary": 1}
    for node in graph_module.graph.nodes:
        if is_op(node, "linear"):
            assert (ops.arguments(node)["bias"] is None) == (kind == "no_bias")


@pytest.mark.parametrize(("kind", "reason"), [("overlap", "overlap"), ("whole", "as a whole")])
def test_refusals(kind: str, reason: str) -> None:
    graph_module = with_attention(Chunks(kind), image(2, 5, 6))
    outcome = check_pass(SplitProjections(), graph_module, image(2, 5, 6))
    assert outcome.rewritten == () and reason in reasons(outcome)
