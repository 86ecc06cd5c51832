"""fold-attention-scale: the factor on the logits into the rows that make q."""

import pytest
import torch
from torch import Tensor, nn

from efcompile.passes.fold_attention_scale import SDPA, FoldAttentionScale
from tests.passes.dialect import captured, check_pass, counts, image, reasons

TOKENS = (2, 5, 12)


class Merged(nn.Module):
    """Attention on one q, k, v projection; the factor stands where `place` says."""

    def __init__(self, place: str = "logits") -> None:
        super().__init__()
        self.place, self.qkv = place, nn.Linear(12, 36)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x).reshape(2, 5, 3, 2, 6).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        if self.place == "sdpa":
            y = nn.functional.scaled_dot_product_attention(q, k, v, scale=0.3)
        elif self.place == "q":
            y = ((q * 0.3) @ k.transpose(-2, -1)).softmax(-1) @ v
        else:
            y = ((q @ k.transpose(-2, -1)) * 0.3).softmax(-1) @ v
        return y.transpose(1, 2).flatten(2)


class Separate(nn.Module):
    """One head, q and k of their own: `query` makes q, `key` makes k."""

    def __init__(self, query: nn.Module, key: nn.Module) -> None:
        super().__init__()
        self.query, self.key = query, key

    def forward(self, x: Tensor) -> Tensor:
        logits = self.query(x) @ self.key(x).transpose(1, 2)
        result: Tensor = (logits * 0.3).softmax(-1) @ x
        return result


@pytest.mark.parametrize("place", ["logits", "q", "sdpa"])
def test_only_the_rows_of_q_are_scaled(place: str) -> None:
    x = image(*TOKENS)
    graph_module = captured(Merged(place), x)
    before = graph_module.get_buffer("qkv_weight").clone()
    outcome = check_pass(FoldAttentionScale(), graph_module, x)
    assert len(outcome.rewritten) == 1 and not outcome.refused
    (name,) = [n for n, _ in graph_module.named_buffers() if "weight" in n]
    after = graph_module.get_buffer(name)
    torch.testing.assert_close(after[:12], before[:12] * 0.3)
    assert torch.equal(after[12:], before[12:])
    if place == "sdpa":
        (node,) = [n for n in graph_module.graph.nodes if n.target is SDPA]
        assert node.kwargs["scale"] == 1.0
    else:
        assert "mul" not in counts(graph_module)


def test_the_key_takes_it_where_q_has_no_projection() -> None:
    x = image(*TOKENS)
    graph_module = captured(Separate(nn.ReLU(), nn.Linear(12, 12, bias=False)), x)
    outcome = check_pass(FoldAttentionScale(), graph_module, x)
    assert len(outcome.rewritten) == 1


def test_without_projections_it_is_refused() -> None:
    x = image(*TOKENS)
    graph_module = captured(Separate(nn.ReLU(), nn.Tanh()), x)
    outcome = check_pass(FoldAttentionScale(), graph_module, x)
    assert not outcome.rewritten
    assert "no projection with constant weights" in reasons(outcome)


def test_rows_that_others_read_are_left_alone() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.both = nn.Linear(12, 12)

        def forward(self, x: Tensor) -> Tensor:
            y = self.both(x)
            result: Tensor = ((y @ y.transpose(1, 2)) * 0.3).softmax(-1) @ y
            return result

    x = image(*TOKENS)
    graph_module = captured(Shared(), x)
    outcome = check_pass(FoldAttentionScale(), graph_module, x)
    assert not outcome.rewritten
    assert "reads the same rows" in reasons(outcome)


def test_logits_that_are_read_unscaled_are_left_alone() -> None:
    class Twice(Separate):
        def forward(self, x: Tensor) -> Tensor:
            logits = self.query(x) @ self.key(x).transpose(1, 2)
            result: Tensor = (logits * 0.3).softmax(-1) @ x + logits.exp().sum()
            return result

    x = image(*TOKENS)
    graph_module = captured(Twice(nn.Linear(12, 12), nn.Linear(12, 12)), x)
    outcome = check_pass(FoldAttentionScale(), graph_module, x)
    assert not outcome.rewritten
    assert "also read unscaled" in reasons(outcome)


def test_other_factors_are_not_its_business() -> None:
    class Halved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(12, 12)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = (self.linear(x) * 0.5).exp()
            return result

    x = image(*TOKENS)
    outcome = check_pass(FoldAttentionScale(), captured(Halved(), x), x)
    assert not outcome.rewritten and not outcome.refused
