"""fuse-norm-linear and its refusal."""

from functools import reduce

import pytest
import torch
from torch import Tensor, nn

from efcompile.passes.fuse_norm_linear import FuseNormLinear
from tests.passes.dialect import check_pass, counts, image, legalised, reasons


class Model(nn.Module):
    """A layer norm before one or two linears."""

    def __init__(self, norm: nn.Module, bias: bool, linears: int = 1) -> None:
        super().__init__()
        self.norm = norm
        self.linears = nn.ModuleList(nn.Linear(6, 5, bias=bias) for _ in range(linears))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        out: Tensor = reduce(torch.add, [linear(y) for linear in self.linears])
        return out


NORMS = {
    "full": lambda: nn.LayerNorm(6, eps=1e-3),
    "no_bias": lambda: nn.LayerNorm(6, bias=False),
    "bare": lambda: nn.LayerNorm(6, elementwise_affine=False),
}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("norm", sorted(NORMS))
def test_fuses(norm: str, bias: bool) -> None:
    graph_module = legalised(Model(NORMS[norm](), bias), image(2, 5, 6))
    check_pass(FuseNormLinear(), graph_module, image(2, 5, 6))
    assert counts(graph_module) == {"norm_linear": 1}


def test_two_readers_refuse() -> None:
    graph_module = legalised(Model(nn.LayerNorm(6), True, linears=2), image(2, 5, 6))
    outcome = check_pass(FuseNormLinear(), graph_module, image(2, 5, 6))
    assert outcome.rewritten == ()
    assert len(outcome.refused) == 2 and "other readers" in reasons(outcome)
