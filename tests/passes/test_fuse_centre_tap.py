"""fuse-centre-tap: V2's local-global query, identity branches, and each refusal."""

import pytest
from torch import Tensor, nn

from efcompile.passes.fuse_centre_tap import FuseCentreTap
from efcompile.passes.rewriting import is_op
from tests.passes.dialect import check_pass, counts, image, legalised, reasons


class Query(nn.Module):
    """A depthwise convolution beside a pick of its own input."""

    def __init__(self, local: nn.Module, pick: nn.Module, other_reader: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.local, self.pick, self.other_reader = local, pick, other_reader

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        local = self.local(y)
        out: Tensor = (local + self.pick(y)).relu()
        return (out * local if self.other_reader else out).mean((2, 3))


def depthwise(stride: int = 2, kernel: int = 3, padding: int = 1, dilation: int = 1) -> nn.Module:
    return nn.Conv2d(6, 6, kernel, stride, padding, dilation, groups=6)


@pytest.mark.parametrize("stride", [1, 2])
def test_joins_the_weights(stride: int) -> None:
    other = nn.AvgPool2d(1, 2, 0) if stride == 2 else nn.Identity()
    graph_module = legalised(Query(depthwise(stride), other), image(2, 3, 9, 7))
    outcome = check_pass(FuseCentreTap(), graph_module, image(2, 3, 9, 7))
    assert counts(graph_module) == {"conv2d": 2, "activation": 1, "mean": 1}
    assert len(outcome.rewritten) == 1


def pick(stride: int) -> nn.Module:
    return nn.AvgPool2d(1, stride, 0)


REFUSED = {
    "even": (Query(depthwise(2, 2, 0), pick(2)), (8, 6), "no centre tap"),
    "padding": (Query(depthwise(4, 3, 0), pick(4)), (8, 4), "does not centre"),
    "stride": (Query(depthwise(2), pick(3)), (2, 2), "different strides"),
    "reader": (Query(depthwise(), pick(2), True), (9, 7), "other readers"),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refusals(name: str) -> None:
    model, size, reason = REFUSED[name]
    x = image(2, 3, *size)
    graph_module = legalised(model, x)
    outcome = check_pass(FuseCentreTap(), graph_module, x)
    assert outcome.rewritten == () and reason in reasons(outcome)


def test_activation_inside_the_branch_refuses() -> None:
    x = image(2, 3, 9, 7)
    graph_module = legalised(Query(depthwise(), pick(2)), x)
    (conv,) = [n for n in graph_module.graph.nodes if is_op(n, "conv2d") and n.args[7] == 6]
    conv.args = (*conv.args[:8], "relu")
    graph_module.recompile()
    assert "activation" in reasons(check_pass(FuseCentreTap(), graph_module, x))
