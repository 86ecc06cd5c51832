"""merge-projections: what attention reads of one input is projected at once."""

import pytest
from torch import Tensor, nn

from efcompile.passes.base import sources
from efcompile.passes.merge_projections import MergeProjections
from tests.passes.dialect import captured, check_pass, counts, image, only, reasons

TOKENS, IMAGE = (2, 5, 12), (2, 12, 4, 3)


class TokenAttention(nn.Module):
    """One head; every projection is a module of its own."""

    def __init__(self, query: nn.Module, key: nn.Module, value: nn.Module) -> None:
        super().__init__()
        self.query, self.key, self.value = query, key, value

    def forward(self, x: Tensor) -> Tensor:
        logits = self.query(x) @ self.key(x).transpose(1, 2)
        result: Tensor = logits.softmax(-1) @ self.value(x)
        return result


class ImageAttention(nn.Module):
    """EfficientFormerV2's: 1x1 convolutions, and a convolution on v beside attention."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Conv2d(12, 8, 1), nn.Conv2d(12, 8, 1, bias=False)
        self.value = nn.Conv2d(12, 10, 1)
        self.local = nn.Conv2d(10, 10, 3, padding=1, groups=10)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.query(x), self.key(x), self.value(x)
        weights = (q.flatten(2).transpose(1, 2) @ k.flatten(2)).softmax(-1)
        y = weights @ v.flatten(2).transpose(1, 2)
        result: Tensor = y.transpose(1, 2).reshape(v.shape) + self.local(v)
        return result


def test_linears_merge() -> None:
    x = image(*TOKENS)
    model = TokenAttention(nn.Linear(12, 8), nn.Linear(12, 8, bias=False), nn.Linear(12, 6))
    graph_module = captured(model, x)
    outcome = check_pass(MergeProjections(), graph_module, x)
    assert len(outcome.rewritten) == 1 and not outcome.refused
    assert counts(graph_module)["linear"] == 1
    merged = only(graph_module, "linear")
    assert merged.meta["val"].shape == (2, 5, 22)
    assert sources(merged) == ("query", "key", "value")
    assert [sources(user) for user in merged.users] == [("query",), ("key",), ("value",)]


def test_convolutions_merge_although_another_reads_v() -> None:
    x = image(*IMAGE)
    graph_module = captured(ImageAttention(), x)
    assert counts(graph_module)["conv2d"] == 4
    outcome = check_pass(MergeProjections(), graph_module, x)
    assert len(outcome.rewritten) == 1
    assert counts(graph_module)["conv2d"] == 2


def test_a_key_of_another_input_stays_apart() -> None:
    class Cross(TokenAttention):
        def forward(self, x: Tensor) -> Tensor:
            logits = self.query(x) @ self.key(x.relu()).transpose(1, 2)
            result: Tensor = logits.softmax(-1) @ self.value(x)
            return result

    x = image(*TOKENS)
    graph_module = captured(Cross(nn.Linear(12, 8), nn.Linear(12, 8), nn.Linear(12, 6)), x)
    check_pass(MergeProjections(), graph_module, x)
    assert counts(graph_module)["linear"] == 2


class Branches(nn.Module):
    """Siblings that go on to activations."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.first(x).relu(), self.second(x).exp()


class Grouped(nn.Module):
    """Products of grouped convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = (nn.Conv2d(12, 12, 1, groups=3) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.query(x).flatten(2) @ self.key(x).flatten(2).transpose(1, 2)
        return result


REFUSED: dict[str, tuple[nn.Module, tuple[int, ...], str]] = {
    "no_attention": (Branches(nn.Linear(12, 3), nn.Linear(12, 3)), TOKENS, "not operands of"),
    "grouped": (Grouped(), IMAGE, "grouped convolutions"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_say_why(name: str) -> None:
    model, size, reason = REFUSED[name]
    x = image(*size)
    outcome = check_pass(MergeProjections(), captured(model, x), x)
    assert not outcome.rewritten
    assert reason in reasons(outcome)


def test_other_geometry_is_no_group() -> None:
    x = image(*IMAGE)
    model = Branches(nn.Conv2d(12, 3, 1), nn.Conv2d(12, 3, 3, padding=1))
    outcome = check_pass(MergeProjections(), captured(model, x), x)
    assert not outcome.rewritten and not outcome.refused
