"""The algebra against torch itself, on random chains."""

from itertools import pairwise
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from efcompile.passes.rearrangement import Rearrangement, Shape

FACTORS = (1, 2, 3, 2, 5)


def apply(chain: Rearrangement, x: Tensor) -> Tensor:
    return x.reshape(chain.atoms).permute(chain.order).reshape(chain.result)


@st.composite
def groupings(draw: st.DrawFn, sizes: tuple[int, ...]) -> Shape:
    """A shape whose dimensions are products of neighbours among `sizes`."""
    cuts = sorted(draw(st.sets(st.integers(1, len(sizes) - 1)))) if len(sizes) > 1 else []
    bounds = [0, *cuts, len(sizes)]
    return tuple(prod(sizes[a:b]) for a, b in pairwise(bounds))


@st.composite
def chains(draw: st.DrawFn) -> tuple[Rearrangement, Tensor, Tensor]:
    """A random chain that splits evenly: (rearrangement, operand, what torch makes of it)."""
    sizes = tuple(draw(st.permutations(FACTORS)))
    x = torch.arange(prod(sizes)).reshape(draw(groupings(sizes)))
    chain, y = Rearrangement.identity(x.shape), x
    for _ in range(draw(st.integers(1, 4))):
        y, chain = y.reshape(sizes), chain.reshaped(sizes)
        order = draw(st.permutations(range(len(sizes))))
        sizes = tuple(sizes[d] for d in order)
        y = y.permute(order)
        permuted = chain.permuted(order)
        assert permuted is not None
        shape = draw(groupings(sizes))
        y, chain = y.reshape(shape), permuted.reshaped(shape)
    return chain, x, y


@settings(max_examples=60, deadline=None)
@given(chains())
def test_does_what_the_chain_does(case: tuple[Rearrangement, Tensor, Tensor]) -> None:
    chain, x, y = case
    assert torch.equal(apply(chain, x), y)
    assert torch.equal(apply(chain.inverse(), y), x)
    assert chain.is_view == torch.equal(x.flatten(), y.flatten())
    assert 1 not in chain.atoms


@settings(max_examples=60, deadline=None)
@given(chains())
def test_is_canonical(case: tuple[Rearrangement, Tensor, Tensor]) -> None:
    """Undoing and redoing gives the equal form: nothing is left to merge."""
    chain, _, _ = case
    there_and_back = chain.then(chain.inverse())
    assert there_and_back is not None and there_and_back.is_identity
    assert there_and_back.then(chain) == chain


@settings(max_examples=60, deadline=None)
@given(chains())
def test_source_dim_is_a_slice(case: tuple[Rearrangement, Tensor, Tensor]) -> None:
    chain, x, y = case
    for dim, size in enumerate(y.shape):
        source = chain.source_dim(dim)
        if source is None or size == 1:
            continue
        cut = chain.resized(dim, size - 1)
        assert torch.equal(apply(cut, x.narrow(source, 1, size - 1)), y.narrow(dim, 1, size - 1))


@settings(max_examples=60, deadline=None)
@given(chains())
def test_source_dims_are_a_sum(case: tuple[Rearrangement, Tensor, Tensor]) -> None:
    chain, x, y = case
    for dim in range(y.dim()):
        sources = chain.source_dims(dim)
        if sources is not None:
            total = x.sum(sources) if sources else x
            assert torch.equal(apply(chain.without([dim]), total), y.sum(dim))


@settings(max_examples=60, deadline=None)
@given(chains(), st.data())
def test_broadcast_operand(case: tuple[Rearrangement, Tensor, Tensor], data: st.DataObject) -> None:
    chain, x, y = case
    kept = data.draw(st.lists(st.booleans(), min_size=y.dim(), max_size=y.dim()))
    shape = tuple(size if keep else 1 for size, keep in zip(y.shape, kept, strict=True))
    small = chain.broadcast(shape)
    if small is not None:
        operand = torch.arange(prod(shape)).reshape(shape)
        moved = apply(small.inverse(), operand)
        assert torch.equal(apply(chain, x * moved), y * operand)


def test_channels_last_round_trip_vanishes() -> None:
    there = Rearrangement.identity((2, 7, 5, 3)).permuted((0, 3, 1, 2))
    assert there is not None and not there.is_view and there.atoms == (2, 35, 3)
    tokens = there.reshaped((2, 3, 35)).permuted((0, 2, 1))
    assert tokens is not None and tokens.is_view and tokens.keeps_last
    assert tokens.result == (2, 35, 3)


def test_batch_of_one_merges_further() -> None:
    there = Rearrangement.identity((1, 7, 5, 3)).permuted((0, 3, 1, 2))
    assert there is not None and (there.atoms, there.order) == ((35, 3), (1, 0))


def test_uneven_split_is_refused() -> None:
    swapped = Rearrangement.identity((4, 6)).permuted((1, 0))
    assert swapped is not None
    assert swapped.reshaped((8, 3)).permuted((1, 0)) is None


def test_rows_that_lose_their_place_are_not_kept() -> None:
    first = Rearrangement.identity((2, 5, 3)).permuted((0, 2, 1))
    assert first is not None and not first.keeps_last
    assert first.source_dim(1) == 2
    assert Rearrangement.identity((4, 3)).reshaped((12,)).source_dim(0) is None


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_single_element(shape: Shape) -> None:
    assert Rearrangement.identity(shape).reshaped((1, 1, 1)).is_view
