"""Data movement against indexing."""

import torch
import torch.nn.functional as F

from efcompile.ops.movement import concat, expand, gather, pad, permute
from efcompile.ops.movement import slice as cut

torch.manual_seed(0)
X = torch.randn(3, 4, 5)


def test_permute() -> None:
    assert torch.equal(permute(X, [2, 0, 1]), torch.einsum("abc->cab", X))


def test_slice() -> None:
    assert torch.equal(cut(X, 1, 1, 4, 2), X[:, 1:4:2])
    assert cut(X, 0, 2, 2, 1).shape == (0, 4, 5)


def test_expand_and_concat() -> None:
    assert torch.equal(expand(X[:1], [3, 4, 5]), X[:1].repeat(3, 1, 1))
    both = concat([X, X[:, :1]], 1)
    assert torch.equal(both[:, :4], X) and torch.equal(both[:, 4:], X[:, :1])


def test_gather_puts_the_indexs_dimensions_in_place() -> None:
    index = torch.tensor([[0, 2, 1], [2, 2, 0]])
    assert torch.equal(gather(X, index, 1), X[:, index])
    assert torch.equal(gather(X, index, 0), X[index])


def test_pad() -> None:
    assert torch.equal(pad(X, [1, 0, 0, 2], -1.0), F.pad(X, (1, 0, 0, 2), value=-1.0))
