"""cancel-reshapes on whole little networks, the boundary, and its refusals."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from efcompile import ops
from efcompile.passes.cancel_reshapes import CancelReshapes
from efcompile.passes.legalise import Legalise
from tests.passes.dialect import after, captured, check_pass, counts, image, only, reasons


class Stem(nn.Module):
    """Two convolutions; returns features, or a map."""

    def __init__(self, pooled: bool, groups: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 8, 3, 2, 1, groups=groups)
        self.conv2 = nn.Conv2d(8, 8, 3, 2, 1)
        self.pooled = pooled

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(F.relu(self.conv1(x)))
        return y.mean((2, 3)) if self.pooled else y


def run(model: nn.Module, *inputs: Tensor) -> tuple[torch.fx.GraphModule, str]:
    graph_module = after([Legalise()], captured(model, *inputs))
    outcome = check_pass(CancelReshapes(), graph_module, *inputs)
    return graph_module, reasons(outcome)


def test_first_convolution_reads_the_models_input() -> None:
    graph_module, why = run(Stem(True), image(2, 4, 13, 11))
    assert counts(graph_module) == {"conv2d": 2, "activation": 1, "mean": 1}
    convs = [n for n in graph_module.graph.nodes if ops.op_of(n) is ops.OPS["conv2d"]]
    assert [ops.arguments(n)["nchw_input"] for n in convs] == [True, False]
    assert why == ""


def test_grouped_first_convolution_does_not() -> None:
    graph_module, why = run(Stem(True, groups=2), image(2, 4, 13, 11))
    assert counts(graph_module)["permute"] == 1
    assert "model's input arrives in its own layout" in why


def test_a_returned_map_is_permuted_once() -> None:
    graph_module, why = run(Stem(False), image(2, 4, 13, 11))
    assert counts(graph_module)["permute"] == 1
    assert "returns this value in its own layout" in why


class Mixed(nn.Module):
    """Image blocks, then token blocks, then an image block: one round trip."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.local = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm, self.fc = nn.LayerNorm(8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        tokens = y.flatten(2).transpose(1, 2)
        tokens = tokens + F.gelu(self.fc(self.norm(tokens)))
        y = tokens.transpose(1, 2).reshape(y.shape)
        out: Tensor = (y + self.local(y)).mean((2, 3))
        return out


def test_round_trip_through_tokens_vanishes() -> None:
    graph_module, _ = run(Mixed(), image(2, 3, 6, 5))
    want = {"conv2d": 2, "layer_norm": 1, "linear": 1, "activation": 1, "binary": 2, "mean": 1}
    assert counts(graph_module) == want


class Leftover(nn.Module):
    """An op that is not ours in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = F.interpolate(self.conv(x), scale_factor=2, mode="bicubic")
        return y.mean((2, 3))


def test_leftovers_see_their_own_layout() -> None:
    graph_module, why = run(Leftover(), image(2, 3, 6, 5))
    assert counts(graph_module)["permute"] == 1
    assert "is not one of our ops and reads its own layout" in why


class Unfold(nn.Module):
    """MobileViT's: pixels of 2x2 patches become batches, so rows really change places."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.LayerNorm(8)
        self.fold = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        n, c, h, w = y.shape
        rows = y.reshape(n * c * h // 2, 2, w // 2, 2).transpose(1, 2)
        rows = rows.reshape(n, c, h * w // 4, 4).transpose(1, 3).reshape(n * 4, -1, c)
        rows = self.norm(rows).softmax(1)
        rows = rows.reshape(n, 4, -1, c).transpose(1, 3)
        rows = rows.reshape(n * c * h // 2, w // 2, 2, 2).transpose(1, 2)
        out: Tensor = self.fold(rows.reshape(n, c, h, w)).mean((2, 3))
        return out


def test_unfold_is_one_permute_in_and_one_out() -> None:
    graph_module, why = run(Unfold(), image(2, 3, 6, 4))
    # Two for the unfold and the fold; two more bring softmax's tokens last and back.
    assert counts(graph_module)["permute"] <= 4
    assert "needs its rows in another order" in why


def test_permutes_are_over_few_dimensions() -> None:
    graph_module, _ = run(Stem(False), image(1, 4, 13, 11))
    assert len(ops.arguments(only(graph_module, "permute"))["dims"]) == 2
