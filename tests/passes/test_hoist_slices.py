"""hoist-slices: the class token's way back through a block, and each refusal."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from efcompile import ops
from efcompile.passes.hoist_slices import HoistSlices
from efcompile.passes.rewriting import is_op, shape
from tests.passes.dialect import check_pass, counts, image, only, reasons, with_attention


class Block(nn.Module):
    """A transformer block of which the head reads token 0 only."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(8) for _ in range(3))
        self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)
        self.fc1, self.fc2 = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(n, t, 3, 2, c // 2).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        mask = torch.linspace(-1, 1, t * t).reshape(t, t)
        y = scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.proj(y.transpose(1, 2).reshape(n, t, c))
        x = x + self.fc2(nn.functional.gelu(self.fc1(self.norm2(x))))
        out: Tensor = self.norm3(x)[:, 0]
        return out


def test_one_query_and_one_row_are_computed() -> None:
    graph_module = with_attention(Block(), image(2, 7, 8))
    check_pass(HoistSlices(), graph_module, image(2, 7, 8))
    attention = only(graph_module, "attention")
    assert list(ops.arguments(attention)["sizes"])[2:4] == [1, 7]
    assert shape(ops.arguments(attention)["bias"]) == (1, 1, 1, 7)
    rows = [shape(n)[1] for n in graph_module.graph.nodes if is_op(n, "linear")]
    assert sorted(rows) == [1, 1, 1, 7]


class Cut(nn.Module):
    """A function of an activated input."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x.sigmoid() + torch.arange(7.0)[:, None])


def test_broadcast_operands_are_cut_where_they_have_the_dimension() -> None:
    graph_module = with_attention(Cut(lambda x: x[:, 2:6:2]), image(2, 7, 8))
    check_pass(HoistSlices(), graph_module, image(2, 7, 8))
    assert shape(only(graph_module, "activation")) == (2, 2, 8)
    assert shape(ops.arguments(only(graph_module, "binary"))["b"]) == (2, 1)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x[..., 1:3], "the rows themselves"),
        (lambda x: x[:, :2] * x.sum(), "other readers"),
        (lambda x: x[:, :2] * x[:, 2:4], "differ"),
    ],
)
def test_refusals(function: Callable[[Tensor], Tensor], reason: str) -> None:
    graph_module = with_attention(Cut(function), image(2, 7, 8))
    before = counts(graph_module)
    outcome = check_pass(HoistSlices(), graph_module, image(2, 7, 8))
    assert outcome.rewritten == () and reason in reasons(outcome)
    assert counts(graph_module) == before


class Images(nn.Module):
    """A slice of the batch behind an attention."""

    def forward(self, x: Tensor) -> Tensor:
        return scaled_dot_product_attention(x, x, x).transpose(1, 2).flatten(2)[1:]


def test_images_of_an_attention_stay() -> None:
    graph_module = with_attention(Images(), image(3, 2, 5, 4))
    assert "images" in reasons(check_pass(HoistSlices(), graph_module, image(3, 2, 5, 4)))
