"""precompute-attention-bias: constants are computed now, and go through talking heads."""

import pytest
import torch
from torch import Tensor, nn

from efcompile.passes.precompute_attention_bias import PrecomputeAttentionBias
from tests.passes.dialect import captured, check_pass, counts, image, reasons

HEADS, TOKENS = 4, 9
LOGITS = (2, HEADS, TOKENS, TOKENS)


class Gathered(nn.Module):
    """A bias gathered from a table, optionally resized, through optional talking heads."""

    index: Tensor

    def __init__(self, talk: nn.Module | None = None, resize: bool = False) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(HEADS, 7))
        index = torch.randint(7, (TOKENS, TOKENS), generator=torch.Generator().manual_seed(0))
        self.register_buffer("index", index)
        self.talk, self.resize = talk, resize

    def forward(self, logits: Tensor) -> Tensor:
        bias = self.table[:, self.index]
        if self.resize:
            bias = nn.functional.interpolate(bias[None], size=(TOKENS, TOKENS), mode="bicubic")[0]
        y = logits + bias
        return (y if self.talk is None else self.talk(y)).softmax(-1)


@pytest.mark.parametrize("resize", [False, True])
def test_no_gather_and_no_resize_is_left(resize: bool) -> None:
    x = image(*LOGITS)
    graph_module = captured(Gathered(resize=resize), x)
    assert counts(graph_module)["index"] == 1
    outcome = check_pass(PrecomputeAttentionBias(), graph_module, x)
    assert len(outcome.rewritten) == 1
    assert counts(graph_module) == {"add": 1, "softmax": 1}
    assert [n for n, _ in graph_module.named_buffers() if "table" in n or n == "index_"] == []


def test_a_bias_goes_through_talking_heads() -> None:
    x = image(*LOGITS)
    graph_module = captured(Gathered(nn.Conv2d(HEADS, HEADS, 1)), x)
    check_pass(PrecomputeAttentionBias(), graph_module, x)
    order = [str(n.target) for n in graph_module.graph.nodes if n.op == "call_function"]
    assert order == ["aten.conv2d.default", "aten.add.Tensor", "aten.softmax.int"]
    conv = next(n for n in graph_module.graph.nodes if n.op == "call_function")
    assert conv.args[2] is None


class Shared(Gathered):
    """The sum is read without talking heads too."""

    def forward(self, logits: Tensor) -> Tensor:
        y = logits + self.table[:, self.index]
        assert self.talk is not None
        result: Tensor = self.talk(y) + y.exp()
        return result


class PerImage(Gathered):
    """Another bias for every image of the batch."""

    def __init__(self, talk: nn.Module) -> None:
        super().__init__(talk)
        self.each = nn.Parameter(torch.zeros(2, HEADS, TOKENS, TOKENS))

    def forward(self, logits: Tensor) -> Tensor:
        assert self.talk is not None
        result: Tensor = self.talk(logits + self.each).exp()
        return result


NOT_MIXED: dict[str, tuple[nn.Module, str]] = {
    "read_twice": (Shared(nn.Conv2d(HEADS, HEADS, 1)), "also read without mixing"),
    "more_outputs": (Gathered(nn.Conv2d(HEADS, HEADS + 1, 1)), "more outputs than inputs"),
    "strided": (Gathered(nn.Conv2d(HEADS, HEADS, 1, stride=2)), "stride or padding"),
    "padded": (Gathered(nn.Conv2d(HEADS, HEADS, 1, padding=1)), "stride or padding"),
    "per_image": (PerImage(nn.Conv2d(HEADS, HEADS, 1)), "differs from image to image"),
}


@pytest.mark.parametrize("name", NOT_MIXED)
def test_talking_heads_refusals_say_why(name: str) -> None:
    model, reason = NOT_MIXED[name]
    x = image(*LOGITS)
    outcome = check_pass(PrecomputeAttentionBias(), captured(model, x), x)
    assert reason in reasons(outcome)


def test_layer_scales_become_constants() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gamma = nn.Parameter(torch.ones(4))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.gamma.view(1, -1, 1, 1)

    x = image(2, 4, 3, 3)
    graph_module = captured(Scale(), x)
    check_pass(PrecomputeAttentionBias(), graph_module, x)
    assert counts(graph_module) == {"mul": 1}


@pytest.mark.parametrize(("batch", "kept"), [(4, False), (5, True)])
def test_large_broadcasts_stay(batch: int, kept: bool) -> None:
    class Token(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.zeros(1, 1, 1 << 14))

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([(self.token * 2).expand(len(x), -1, -1), x], 1)

    x = image(batch, 1, 1 << 14)
    graph_module = captured(Token(), x)
    outcome = check_pass(PrecomputeAttentionBias(), graph_module, x)
    left = counts(graph_module)
    assert ("expand" in left) == kept and "mul" not in left
    assert ("larger" in reasons(outcome)) == kept


def test_what_depends_on_the_input_stays() -> None:
    x = image(2, 4)
    outcome = check_pass(PrecomputeAttentionBias(), captured(nn.Linear(4, 3), x), x)
    assert not outcome.rewritten and not outcome.refused
