"""merge-heads: the sum or mean of two linears over one input is one linear."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from efcompile.passes.merge_heads import MergeHeads
from tests.passes.dialect import captured, check_pass, counts, image, reasons

Combine = Callable[[Tensor, Tensor], Tensor]


class Heads(nn.Module):
    """Two heads over one input, combined."""

    def __init__(self, combine: Combine, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.combine, self.first, self.second = combine, first, second

    def forward(self, x: Tensor) -> Tensor:
        return self.combine(self.first(x), self.second(x))


def _linear(outputs: int = 3, bias: bool = True) -> nn.Linear:
    return nn.Linear(6, outputs, bias=bias)


MERGED: dict[str, Combine] = {
    "mean": lambda a, b: (a + b) / 2,
    "sum": lambda a, b: a + b,
    "scaled": lambda a, b: 0.7 * (a + b),
    "then_relu": lambda a, b: ((a + b) / 2).relu(),
}


@pytest.mark.parametrize("name", MERGED)
@pytest.mark.parametrize("biases", [(True, True), (True, False), (False, False)])
def test_one_linear_is_left(name: str, biases: tuple[bool, bool]) -> None:
    x = image(2, 6)
    model = Heads(MERGED[name], _linear(bias=biases[0]), _linear(bias=biases[1]))
    graph_module = captured(model, x)
    outcome = check_pass(MergeHeads(), graph_module, x)
    assert len(outcome.rewritten) == 1
    left = counts(graph_module)
    assert left.pop("linear") == 1
    assert set(left) <= {"relu"}


class AlsoUnscaled(Heads):
    """The sum is read with and without its factor."""

    def forward(self, x: Tensor) -> Tensor:
        total = self.combine(self.first(x), self.second(x))
        return total * 0.5 + total.exp()


def test_a_sum_that_is_read_unscaled_keeps_its_factor_outside() -> None:
    x = image(2, 6)
    graph_module = captured(AlsoUnscaled(MERGED["sum"], _linear(), _linear()), x)
    check_pass(MergeHeads(), graph_module, x)
    assert counts(graph_module) == {"linear": 1, "mul": 1, "exp": 1, "add": 1}


class Chained(Heads):
    """The second head reads the first input changed."""

    def forward(self, x: Tensor) -> Tensor:
        return self.combine(self.first(x), self.second(x.relu()))


class ReadTwice(Heads):
    """The first head's result is needed for itself."""

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        return torch.cat([first, (first + self.second(x)) / 2])


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "inputs": (Chained(MERGED["mean"], _linear(), _linear()), "reads"),
    "read_twice": (ReadTwice(MERGED["mean"], _linear(), _linear()), "read by others too"),
    "sizes": (Heads(MERGED["sum"], _linear(3), _linear(1)), "differ in size"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_say_why(name: str) -> None:
    model, reason = REFUSED[name]
    x = image(2, 6)
    graph_module = captured(model, x)
    outcome = check_pass(MergeHeads(), graph_module, x)
    assert not outcome.rewritten
    assert reason in reasons(outcome)
    assert counts(graph_module)["linear"] == 2
