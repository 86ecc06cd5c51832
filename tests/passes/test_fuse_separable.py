"""fuse-separable and each refusal."""

import pytest
from torch import Tensor, nn

from efcompile import ops
from efcompile.passes.base import sources
from efcompile.passes.fuse_separable import FuseSeparable
from tests.passes.dialect import check_pass, counts, image, only, reasons, with_epilogues


class Block(nn.Module):
    """A depthwise-separable convolution behind a stem."""

    def __init__(self, stride: int = 1, dilation: int = 1, between: str = "") -> None:
        super().__init__()
        self.stem, self.act = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU6()
        self.mid = nn.Conv2d(6, 6, (3, 5), stride, (dilation, 2 * dilation), dilation, groups=6)
        self.point, self.between = nn.Conv2d(6, 6, 1), between

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.stem(x))
        hidden = self.act(self.mid(y))
        if self.between == "residual":
            hidden = hidden + y
        out: Tensor = self.act(self.point(hidden))
        if out.shape == y.shape:
            out = out + y
        if self.between == "reader":
            out = out * hidden.mean(1, keepdim=True)
        return out.mean((2, 3))


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_fuses(stride: int, dilation: int) -> None:
    x = image(2, 3, 7, 9)
    graph_module = with_epilogues(Block(stride, dilation), x)
    check_pass(FuseSeparable(), graph_module, x)
    assert counts(graph_module) == {"conv2d": 1, "separable": 1, "mean": 1}
    arguments = ops.arguments(only(graph_module, "separable"))
    assert (arguments["residual"] is None) == (stride == 2)
    assert set(sources(only(graph_module, "separable"))) >= {"mid", "point"}


@pytest.mark.parametrize(
    ("between", "reason"), [("residual", "adds a residual"), ("reader", "has other readers")]
)
def test_refusals(between: str, reason: str) -> None:
    x = image(2, 3, 7, 9)
    graph_module = with_epilogues(Block(between=between), x)
    outcome = check_pass(FuseSeparable(), graph_module, x)
    assert outcome.rewritten == () and reason in reasons(outcome)
