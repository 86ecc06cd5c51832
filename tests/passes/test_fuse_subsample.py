"""fuse-subsample: LeViT's strided queries, and each refusal."""

from collections.abc import Callable

import pytest
from torch import Tensor, nn

from efcompile import ops
from efcompile.passes.fuse_subsample import FuseSubsample
from tests.passes.dialect import check_pass, counts, image, legalised, only, reasons


class Subsample(nn.Module):
    """Tokens, seen as an image, cut, and projected."""

    def __init__(self, cut: Callable[[Tensor], Tensor], other_reader: bool = False) -> None:
        super().__init__()
        self.q, self.cut, self.other_reader = nn.Linear(6, 4), cut, other_reader

    def forward(self, x: Tensor) -> Tensor:
        n, _, c = x.shape
        y = self.cut(x.reshape(n, 5, 7, c)).reshape(n, -1, c)
        out: Tensor = self.q(y).relu()
        return out + y[..., :4] if self.other_reader else out


def test_becomes_a_strided_convolution() -> None:
    x = image(2, 35, 6)
    graph_module = legalised(Subsample(lambda y: y[:, ::2, ::3]), x)
    check_pass(FuseSubsample(), graph_module, x)
    assert {k: v for k, v in counts(graph_module).items() if k != "reshape"} == {
        "conv2d": 1,
        "activation": 1,
    }
    assert list(ops.arguments(only(graph_module, "conv2d"))["stride"]) == [2, 3]


REFUSED = {
    "start": (Subsample(lambda y: y[:, 1::2, ::2]), "leaves out one end"),
    "end": (Subsample(lambda y: y[:, :3:2, ::2]), "leaves out one end"),
    "readers": (Subsample(lambda y: y[:, ::2, ::2], True), "has other readers"),
    "order": (Subsample(lambda y: y[:, ::2, ::2].transpose(1, 2)), "is permuted before"),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refusals(name: str) -> None:
    model, reason = REFUSED[name]
    graph_module = legalised(model, image(2, 35, 6))
    outcome = check_pass(FuseSubsample(), graph_module, image(2, 35, 6))
    assert outcome.rewritten == () and reason in reasons(outcome)
