"""fuse-ffn and each refusal."""

from collections.abc import Callable

import pytest
from torch import Tensor, nn

from efcompile import ops
from efcompile.passes.base import sources
from efcompile.passes.fuse_ffn import FuseFfn
from tests.passes.dialect import check_pass, counts, image, only, reasons, with_epilogues


class Block(nn.Module):
    """An inverted residual block behind a stem; `finish` combines its parts."""

    def __init__(
        self, middle: nn.Module, finish: Callable[["Block", Tensor], Tensor] | None = None
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.fc1, self.act = nn.Conv2d(6, 12, 1), nn.GELU()
        self.mid, self.fc2, self.finish = middle, nn.Conv2d(12, 6, 1), finish

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        out: Tensor = (
            self.fc2(self.act(self.mid(self.act(self.fc1(y)))))
            if self.finish is None
            else self.finish(self, y)
        )
        return (out + y if out.shape == y.shape else out).mean((2, 3))


def middle(kernel: int | tuple[int, int] = 3, stride: int = 1, dilation: int = 1) -> nn.Module:
    width = kernel if isinstance(kernel, int) else kernel[1]
    height = kernel if isinstance(kernel, int) else kernel[0]
    padding = (height // 2 * dilation, width // 2 * dilation)
    return nn.Conv2d(12, 12, kernel, stride, padding, dilation, groups=12)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_fuses(kernel: int, stride: int) -> None:
    x = image(2, 3, 7, 9)
    graph_module = with_epilogues(Block(middle(kernel, stride)), x)
    check_pass(FuseFfn(), graph_module, x)
    assert counts(graph_module) == {"conv2d": 1, "ffn": 1, "mean": 1}
    arguments = ops.arguments(only(graph_module, "ffn"))
    assert (arguments["residual"] is None) == (stride == 2)
    assert set(sources(only(graph_module, "ffn"))) >= {"fc1", "mid", "fc2"}


def first_twice(m: Block, y: Tensor) -> Tensor:
    hidden = m.act(m.fc1(y))
    out: Tensor = m.fc2(m.act(m.mid(hidden))) * hidden.mean(1, keepdim=True)
    return out


def middle_twice(m: Block, y: Tensor) -> Tensor:
    hidden = m.act(m.mid(m.act(m.fc1(y))))
    out: Tensor = m.fc2(hidden) * hidden.mean(1, keepdim=True)
    return out


def residual_inside(m: Block, y: Tensor) -> Tensor:
    hidden = m.act(m.fc1(y))
    return m.fc2(m.mid(m.act(m.fc1(y.exp()))) + hidden)  # type: ignore[no-any-return]


def activated(m: Block, y: Tensor) -> Tensor:
    return m.act(m.fc2(m.act(m.mid(m.act(m.fc1(y)))))) * 2  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Block(middle(), first_twice), "has other readers"),
        (Block(middle(), middle_twice), "has other readers"),
        (Block(middle(), residual_inside), "inside the block"),
        (Block(middle(), activated), "follows the second 1x1"),
        (Block(middle((3, 5))), "not square"),
        (Block(middle(3, 1, 2)), "dilated"),
    ],
)
def test_refusals(model: nn.Module, reason: str) -> None:
    x = image(2, 3, 7, 9)
    graph_module = with_epilogues(model, x)
    outcome = check_pass(FuseFfn(), graph_module, x)
    assert outcome.rewritten == () and reason in reasons(outcome)
