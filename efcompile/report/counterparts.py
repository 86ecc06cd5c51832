"""Which value of the original a node of another graph computes, if any.

Passes give nodes new names, other layouts and other places, and compute some values that the
original never does (a projection with the attention's scale in it).  What they keep is the
modules a node came from.  So the candidates for a node are the original's values of a shared
module with as many elements, in every order of their dimensions that the node's shape can be;
the nearest of them in value is taken.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations

from torch import Tensor
from torch.fx import GraphModule, Node

from efcompile.passes.base import sources
from efcompile.passes.rewriting import is_reshape
from efcompile.passes.verification import difference

Values = Mapping[str, Tensor]


@dataclass(frozen=True)
class Counterpart:
    """The original's node `name`, whose `value` is in the layout of the node it belongs to:
    its dimensions in the order `dims`, then reshaped.  `relative` is how far the node's value
    is from it, of its scale."""

    name: str
    dims: tuple[int, ...]
    value: Tensor
    relative: float


def counterparts(
    original: GraphModule,
    other: GraphModule,
    wanted: Values,
    got: Values,
    tolerance: float,
) -> dict[str, Counterpart | None]:
    """For every node of `other` that computes a tensor, in its order, its counterpart in
    `original`; `wanted` and `got` are the two graphs' values on the same inputs.

    Within `tolerance` of its scale a value is the original's.  A node further away than that is
    either wrong, or rightly another value.  It is taken for wrong (and keeps the nearest
    candidate) if the difference gets through to the outputs; for another value (None) if all
    that is computed from it is the original's again, or if there is no candidate.
    """
    known = _candidates(original, wanted)
    nearest = {
        node: _nearest(node, got[node.name], known)
        for node in other.graph.nodes
        if node.op == "call_function" and not is_reshape(node) and node.name in got
    }
    reaches: dict[Node, bool] = {}
    for node in reversed(other.graph.nodes):
        found = nearest.get(node)
        agrees = found is not None and found.relative <= tolerance
        reaches[node] = not agrees and (
            node.op == "output" or any(reaches[user] for user in node.users)
        )
    return {
        node.name: found if found and (found.relative <= tolerance or reaches[node]) else None
        for node, found in nearest.items()
    }


def _candidates(original: GraphModule, wanted: Values) -> list[tuple[Node, Tensor]]:
    return [
        (node, wanted[node.name])
        for node in original.graph.nodes
        if node.op in ("call_function", "placeholder")
        and node.name in wanted
        and wanted[node.name].is_floating_point()
    ]


def _nearest(node: Node, value: Tensor, known: list[tuple[Node, Tensor]]) -> Counterpart | None:
    modules, best = set(sources(node)), None
    for candidate, wanted in known:
        if wanted.numel() != value.numel():
            continue
        if candidate.op == "call_function" and modules.isdisjoint(sources(candidate)):
            continue
        for dims in _orders(tuple(wanted.shape), tuple(value.shape)):
            seen = wanted.permute(dims).reshape(value.shape)
            relative = difference([value], [seen]).relative
            if best is None or relative < best.relative:
                best = Counterpart(candidate.name, dims, seen, relative)
    return best


def _orders(wanted: tuple[int, ...], shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Orders of the dimensions of `wanted` in which it can be read as `shape`, each meaning once;
    the batch stays in front."""
    seen = set()
    for rest in permutations(range(1, len(wanted))) if len(wanted) <= 5 else ():
        dims = (0, *rest) if wanted else ()
        moved = tuple(d for d in dims if wanted[d] > 1)
        if moved not in seen and _regroups(tuple(wanted[d] for d in dims), shape):
            seen.add(moved)
            yield dims
    if len(wanted) > 5:
        yield tuple(range(len(wanted)))


def _regroups(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether the innermost dimensions of one are some of the other's, multiplied or split."""
    a, b = ([d for d in reversed(dims) if d > 1] for dims in (one, other))
    return not a or not b or a[0] in _products(b) or b[0] in _products(a)


def _products(dims: list[int]) -> set[int]:
    found, product = set(), 1
    for d in dims:
        product *= d
        found.add(product)
    return found
