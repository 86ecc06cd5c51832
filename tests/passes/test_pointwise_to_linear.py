"""pointwise-to-linear and each of its refusals."""

import pytest
from torch import Tensor, nn

from efcompile.passes.pointwise_to_linear import PointwiseToLinear
from tests.passes.dialect import check_pass, counts, image, legalised, reasons


class Model(nn.Module):
    """A pointwise convolution behind a stem that takes the model's input."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 8, 3, padding=1), conv

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(self.stem(x)).mean((2, 3))
        return y


@pytest.mark.parametrize("bias", [False, True])
def test_becomes_a_linear(bias: bool) -> None:
    graph_module = legalised(Model(nn.Conv2d(8, 5, 1, bias=bias)), image(2, 3, 5, 7))
    outcome = check_pass(PointwiseToLinear(), graph_module, image(2, 3, 5, 7))
    assert counts(graph_module) == {"conv2d": 1, "linear": 1, "mean": 1}
    assert len(outcome.rewritten) == 1


REFUSED = {
    "stride": (nn.Conv2d(8, 5, 1, 2), "stride [2, 2] skips rows"),
    "padding": (nn.Conv2d(8, 5, 1, padding=1), "padding adds rows"),
    "groups": (nn.Conv2d(8, 8, 1, groups=2), "2 groups: no single matrix"),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refusals(name: str) -> None:
    conv, reason = REFUSED[name]
    graph_module = legalised(Model(conv), image(2, 3, 5, 7))
    outcome = check_pass(PointwiseToLinear(), graph_module, image(2, 3, 5, 7))
    assert outcome.rewritten == () and reason in reasons(outcome)


def test_the_models_own_input_stays() -> None:
    graph_module = legalised(nn.Sequential(nn.Conv2d(3, 8, 1)), image(2, 3, 5, 7))
    outcome = check_pass(PointwiseToLinear(), graph_module, image(2, 3, 5, 7))
    assert "NCHW input in place" in reasons(outcome)
