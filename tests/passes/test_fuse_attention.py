"""fuse-attention on the layouts of the first models, and each refusal."""

import pytest
import torch
from torch import Tensor, nn

from efcompile import ops
from efcompile.passes.base import sources
from efcompile.passes.fuse_attention import FuseAttention
from efcompile.passes.legalise import Legalise
from tests.passes.attention_models import Interleaved, TalkingHeads
from tests.passes.dialect import after, captured, check_pass, counts, image, only, reasons

CASES = {
    "interleaved": (Interleaved(7), (2, 7, 8), (False, False)),
    "talking": (TalkingHeads((3, 5)), (2, 3, 3, 5), (True, True)),
    "talking_batch_1": (TalkingHeads((3, 5)), (1, 3, 3, 5), (True, True)),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_fuses(name: str) -> None:
    model, shape, (mix1, mix2) = CASES[name]
    graph_module = after([Legalise()], captured(model, image(*shape)))
    outcome = check_pass(FuseAttention(), graph_module, image(*shape))
    found = counts(graph_module)
    assert len(outcome.rewritten) == 1 and found["attention"] == 1
    assert not {"matmul", "softmax", "scalar"} & set(found)
    arguments = ops.arguments(only(graph_module, "attention"))
    assert arguments["bias"] is not None
    assert (arguments["mix1"] is not None, arguments["mix2"] is not None) == (mix1, mix2)


def test_sources_are_those_of_all_parts() -> None:
    x = image(2, 3, 3, 5)
    graph_module = after([Legalise()], captured(TalkingHeads((3, 5)), x))
    check_pass(FuseAttention(), graph_module, x)
    assert {"mix1", "mix2"} <= set(sources(only(graph_module, "attention")))


class Bare(nn.Module):
    """Attention over an input itself; `leak` returns an inner value too."""

    def __init__(self, leak: str = "", five: bool = False, bias: bool = False) -> None:
        super().__init__()
        self.leak, self.five, self.bias = leak, five, bias

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, None, None] if self.five else x
        logits = x @ x.mT
        scaled = logits * 0.5 + (x.mean(-1, keepdim=True) if self.bias else 0)
        weights = scaled.softmax(-1)
        y = weights @ x
        inner = {"logits": logits, "scaled": scaled, "weights": weights}.get(self.leak)
        return y if inner is None else y * inner.sum()


def test_rank_three_is_one_head() -> None:
    graph_module = after([Legalise()], captured(Bare(), image(2, 5, 4)))
    check_pass(FuseAttention(), graph_module, image(2, 5, 4))
    assert ops.arguments(only(graph_module, "attention"))["sizes"] == [2, 1, 5, 5, 4, 4]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Bare("logits"), "other readers"),
        (Bare("scaled"), "other readers"),
        (Bare("weights"), "other readers"),
        (Bare(five=True), "5 dimensions"),
        (Bare(bias=True), "computed while running"),
    ],
)
def test_refusals(model: nn.Module, reason: str) -> None:
    graph_module = after([Legalise()], captured(model, image(2, 5, 4)))
    outcome = check_pass(FuseAttention(), graph_module, image(2, 5, 4))
    assert outcome.rewritten == () and reason in reasons(outcome)


class Pooling(nn.Module):
    """Softmax weights that are no product of queries and keys."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.score(x).mT, -1) @ x


def test_weights_without_a_product_refuse() -> None:
    graph_module = after([Legalise()], captured(Pooling(), image(2, 5, 4)))
    outcome = check_pass(FuseAttention(), graph_module, image(2, 5, 4))
    assert outcome.rewritten == ()
