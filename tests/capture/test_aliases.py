"""In-place operations, made functional only where that is right."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from efcompile.capture import capture
from efcompile.capture.aliases import Aliases, ViewWrite
from efcompile.capture.trace import trace
from efcompile.errors import CaptureError


class Plain(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _chain(x: Tensor) -> Tensor:
    y = x + 1
    z = y.relu_()
    return y * z  # y is what relu_ wrote


def _dead_view(x: Tensor) -> Tensor:
    y = x + 1
    part = y[:, :2].sum()
    return y.mul_(2) + part


def _live_view(x: Tensor) -> Tensor:
    y = x + 1
    part = y[:, :2]
    part.mul_(3)
    return y.exp()


def _through_dropout(x: Tensor) -> Tensor:
    y = x + 1
    dropped = nn.functional.dropout(y, 0.5, training=False)
    dropped.mul_(2)
    return y + dropped


def _copied(x: Tensor) -> Tensor:
    y = (x + 1).T
    z = y.contiguous()
    z.mul_(2)
    return y + z


def _cloned(x: Tensor) -> Tensor:
    y = x + 1
    return y.clone().mul_(2) + y


@pytest.mark.parametrize(
    "function", [_chain, _dead_view, _live_view, _through_dropout, _copied, _cloned]
)
def test_writes_are_seen_by_whoever_reads_later(function: Callable[[Tensor], Tensor]) -> None:
    x = torch.randn(2, 5)
    graph_module = capture(Plain(function), x).graph_module
    names = [str(n.target) for n in graph_module.graph.nodes if n.op == "call_function"]
    assert not [name for name in names if name.split(".")[1].endswith("_")]
    torch.testing.assert_close(graph_module(x)[0], function(x))


def test_only_dangerous_writes_need_a_functional_trace() -> None:
    for function, dangerous in ((_chain, False), (_dead_view, False), (_live_view, True)):
        graph = trace(lambda f=function: Plain(f), (torch.randn(2, 5),)).graph  # type: ignore[misc]
        (write,) = [n for n in graph.nodes if "_." in str(n.target)]
        values = {n: object() for n in graph.nodes}
        aliases = Aliases(graph)
        if dangerous:
            with pytest.raises(ViewWrite):
                aliases.written(write, values)
        else:
            assert aliases.written(write, values) == [write.args[0]]


def test_writing_to_the_input_is_refused() -> None:
    with pytest.raises(CaptureError, match="in place while it runs"):
        capture(Plain(lambda x: x.mul_(2)), torch.randn(2, 5))
