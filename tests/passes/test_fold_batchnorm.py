"""fold-batchnorm: into what stands before, else into all that stands after."""

import pytest
import torch
from torch import Tensor, nn

from efcompile.passes.fold_batchnorm import FoldBatchnorm
from tests.passes.dialect import captured, check_pass, counts, image, reasons

IMAGE, TOKENS = (2, 4, 9, 7), (2, 5, 6)


class FlatNorm(nn.Module):
    """LeViT's linear: a BatchNorm1d over flattened tokens."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        result: Tensor = self.bn(y.flatten(0, 1)).reshape_as(y)
        return result


class PooledHeads(nn.Module):
    """EfficientFormerV2's end: a norm, global pooling, two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        self.head, self.dist = nn.Linear(4, 3), nn.Linear(4, 3, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.norm(x.exp()).mean((2, 3))
        return self.head(pooled), self.dist(pooled)


FOLDED: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "conv": (nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)), IMAGE),
    "no_bias": (nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6)), IMAGE),
    "grouped": (nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.BatchNorm2d(8)), IMAGE),
    "depthwise": (nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.BatchNorm2d(4)), IMAGE),
    "no_affine": (nn.Sequential(nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6, affine=False)), IMAGE),
    "linear": (nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3)), (5, 6)),
    "flattened": (FlatNorm(6, 3), TOKENS),
    "pool_between": (
        nn.Sequential(
            nn.Conv2d(4, 6, 1), nn.AvgPool2d(3, 1, 1, count_include_pad=False), nn.BatchNorm2d(6)
        ),
        IMAGE,
    ),
    "forward_conv": (nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3)), IMAGE),
    "forward_grouped": (
        nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 8, 3, groups=2)),
        IMAGE,
    ),
    "forward_flatten": (
        nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 63, 5)),
        IMAGE,
    ),
    "forward_1d": (nn.Sequential(nn.ReLU(), nn.BatchNorm1d(6), nn.Linear(6, 5)), (5, 6)),
    "pooled_heads": (PooledHeads(), IMAGE),
    "input": (nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 1)), IMAGE),
    "two_norms": (
        nn.Sequential(nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6), nn.BatchNorm2d(6)),
        IMAGE,
    ),
}


@pytest.mark.parametrize("name", FOLDED)
def test_no_norm_is_left_and_numbers_stay(name: str) -> None:
    model, size = FOLDED[name]
    x = image(*size)
    graph_module = captured(model, x)
    norms = counts(graph_module)["batch_norm"]
    outcome = check_pass(FoldBatchnorm(), graph_module, x)
    assert "batch_norm" not in counts(graph_module)
    assert len(outcome.rewritten) == norms and not outcome.refused


def test_other_readers_of_the_norm_do_not_matter() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.norm(self.conv(x))
            result: Tensor = y.relu() + y.exp()
            return result

    x = image(*IMAGE)
    graph_module = captured(Shared(), x)
    assert len(check_pass(FoldBatchnorm(), graph_module, x).rewritten) == 1


class TwoReaders(nn.Module):
    """The convolution is read without its norm too, and an activation follows the norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        result: Tensor = y.exp() + self.norm(y).relu()
        return result


class WrongAxis(nn.Module):
    """The norm's channels are tokens, not channels of the linear."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(6, 3), nn.BatchNorm1d(5)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.norm(self.linear(x)).relu()
        return result


class Output(nn.Module):
    """The norm is a graph output with nothing linear in front."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.norm(x.relu())
        return result


class OneOfTwo(nn.Module):
    """Only one of the norm's two readers is linear."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x.relu())
        result: Tensor = self.conv(y) + y.exp()
        return result


REFUSED: dict[str, tuple[nn.Module, tuple[int, ...], str]] = {
    "read_twice": (TwoReaders(), IMAGE, "is read by others too"),
    "wrong_axis": (WrongAxis(), TOKENS, "are not the output channels"),
    "output": (Output(), IMAGE, "the graph's output is no convolution"),
    "one_of_two": (OneOfTwo(), IMAGE, "is no convolution or linear"),
    "padded": (
        nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, padding=1)),
        IMAGE,
        "pads with zeros",
    ),
    "mixed": (
        nn.Sequential(nn.ReLU(), nn.BatchNorm1d(5), nn.Linear(6, 3)),
        TOKENS,
        "does not read whole channels",
    ),
    "padding_counted": (
        nn.Sequential(nn.Conv2d(4, 6, 1), nn.AvgPool2d(3, 1, 1), nn.BatchNorm2d(6), nn.ReLU()),
        IMAGE,
        "are not the output channels",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_say_why(name: str) -> None:
    model, size, reason = REFUSED[name]
    x = image(*size)
    graph_module = captured(model, x)
    outcome = check_pass(FoldBatchnorm(), graph_module, x)
    assert not outcome.rewritten
    assert reason in reasons(outcome)
    assert counts(graph_module)["batch_norm"] == 1


def test_a_norm_without_statistics_is_refused() -> None:
    model = nn.Sequential(nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6, track_running_stats=False))
    graph_module = captured(model, image(*IMAGE))
    outcome = FoldBatchnorm().run(graph_module)
    assert "its own batch" in reasons(outcome)


def test_zero_shift_folds_through_padding() -> None:
    norm = nn.BatchNorm2d(4, affine=False)
    x = image(*IMAGE)
    model = nn.Sequential(nn.ReLU(), norm, nn.Conv2d(4, 6, 3, padding=1)).eval()
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_var.copy_(torch.tensor([0.5, 1.0, 1.5, 2.0]))
    from efcompile.capture import capture

    graph_module = capture(model, x).graph_module
    assert len(check_pass(FoldBatchnorm(), graph_module, x).rewritten) == 1
