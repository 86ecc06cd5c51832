"""attention-views: which layouts strides can express, and which they cannot."""

import pytest
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn.functional import scaled_dot_product_attention

from efcompile import ops
from efcompile.passes.attention_views import AttentionViews
from efcompile.passes.rewriting import is_op
from tests.passes.attention_models import D, E, H, Interleaved, Stacked, TalkingHeads
from tests.passes.dialect import check_pass, counts, image, only, reasons, with_attention

CASES = {
    "interleaved": (Interleaved(7), (2, 7, 8)),
    "stacked": (Stacked(), (2, 7, 8)),
    "image": (TalkingHeads((3, 5)), (2, 3, 3, 5)),
    "image_batch_1": (TalkingHeads((3, 5)), (1, 3, 3, 5)),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_nothing_is_copied(name: str) -> None:
    model, shape = CASES[name]
    graph_module = with_attention(model, image(*shape))
    assert counts(graph_module)["permute"] > 0
    outcome = check_pass(AttentionViews(), graph_module, image(*shape))
    assert not {"permute", "slice"} & set(counts(graph_module))
    assert len(outcome.rewritten) == 3 and outcome.refused == ()


def test_strides_are_those_of_the_projection() -> None:
    graph_module = with_attention(Interleaved(7), image(2, 7, 8))
    check_pass(AttentionViews(), graph_module, image(2, 7, 8))
    arguments = ops.arguments(only(graph_module, "attention"))
    head, row = 2 * D + E, H * (2 * D + E)
    assert arguments["q"] is arguments["k"] is arguments["v"]
    assert list(arguments["q_view"]) == [0, 7 * row, head, row, 1]
    assert list(arguments["k_view"]) == [D, 7 * row, head, row, 1]
    assert list(arguments["v_view"]) == [2 * D, 7 * row, head, row, 1]


class Windows(nn.Module):
    """Attention within windows of an image: a window's rows have two strides."""

    def forward(self, x: Tensor) -> Tensor:
        n, h, w, c = x.shape
        y = x.exp().reshape(n, h // 2, 2, w // 3, 3, c).transpose(2, 3).reshape(-1, 1, 6, c)
        return scaled_dot_product_attention(y, y, y)


def attention(graph_module: GraphModule) -> bool:
    return any(is_op(n, "attention") for n in graph_module.graph.nodes)


def test_windows_are_copied() -> None:
    graph_module = with_attention(Windows(), image(2, 4, 6, 8))
    outcome = check_pass(AttentionViews(), graph_module, image(2, 4, 6, 8))
    assert counts(graph_module)["permute"] == 1
    assert reasons(outcome).count("no strides can express") == 3


class OneQuery(nn.Module):
    """A slice of tokens as queries, every second one as keys."""

    def forward(self, x: Tensor) -> Tensor:
        y = x.exp()[:, None]
        return scaled_dot_product_attention(y[:, :, 1:3], y[:, :, ::2], y[:, :, ::2])


def test_slices_are_views_too() -> None:
    graph_module = with_attention(OneQuery(), image(2, 7, 4))
    check_pass(AttentionViews(), graph_module, image(2, 7, 4))
    assert "slice" not in counts(graph_module) and attention(graph_module)
