"""The algebra of reshape and permute chains over contiguous tensors.

Any chain of reshapes and permutes is, if its reshapes split dimensions evenly, one
rearrangement: factor the source's dimensions into atoms, put the atoms in another order, read
the result with another shape.  With neighbouring atoms merged and atoms of size one dropped
the form is unique, so two chains do the same exactly when their rearrangements are equal, and
a chain costs nothing exactly when its order is the identity.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod

Shape = tuple[int, ...]


@dataclass(frozen=True)
class _Piece:
    """A factor that divides neither a source nor a result dimension's boundary. Its position
    in a list of pieces is its place in the result, `rank` its place in the source."""

    size: int
    rank: tuple[int, ...]
    source_dim: int = -1
    result_dim: int = -1


@dataclass(frozen=True)
class Rearrangement:
    """`source` -> reshape to `atoms` -> permute by `order` -> reshape to `result`.

    Built by `identity` and the methods below, which keep it in canonical form.
    """

    source: Shape
    atoms: Shape
    order: tuple[int, ...]
    result: Shape

    @classmethod
    def identity(cls, shape: Sequence[int]) -> "Rearrangement":
        """The chain that does nothing."""
        size = prod(shape)
        atoms = (size,) if size != 1 else ()
        return cls(tuple(shape), atoms, tuple(range(len(atoms))), tuple(shape))

    @property
    def is_view(self) -> bool:
        """Whether no element moves: the chain is one reshape, or nothing."""
        return len(self.order) <= 1

    @property
    def is_identity(self) -> bool:
        """Whether the chain does nothing at all."""
        return self.is_view and self.source == self.result

    def reshaped(self, shape: Sequence[int]) -> "Rearrangement":
        """This chain, then a reshape."""
        assert prod(shape) == prod(self.result)
        return replace(self, result=tuple(shape))

    def permuted(self, dims: Sequence[int]) -> "Rearrangement | None":
        """This chain, then a permute; None if an earlier reshape split dimensions unevenly."""
        pieces = self._by_result()
        if pieces is None:
            return None
        dims = [d % len(self.result) for d in dims]
        moved = [piece for dim in dims for piece in pieces if piece.result_dim == dim]
        return _canonical(self.source, moved, tuple(self.result[d] for d in dims))

    def then(self, following: "Rearrangement") -> "Rearrangement | None":
        """This chain, then `following`; None if they split dimensions incompatibly."""
        assert following.source == self.result
        if following.is_view:
            return self.reshaped(following.result)
        both = self.reshaped(following.atoms).permuted(following.order)
        return None if both is None else both.reshaped(following.result)

    def inverse(self) -> "Rearrangement":
        """The chain that undoes this one."""
        atoms = tuple(self.atoms[i] for i in self.order)
        order = tuple(self.order.index(i) for i in range(len(self.order)))
        return Rearrangement(self.result, atoms, order, self.source)

    def source_dims(self, dim: int) -> tuple[int, ...] | None:
        """The source dimensions that together make up result dimension `dim`; None if that
        dimension takes only a part of one."""
        pieces = self._by_both()
        if pieces is None:
            return None
        inside = {p.source_dim for p in pieces if p.result_dim == dim}
        outside = {p.source_dim for p in pieces if p.result_dim != dim}
        return None if inside & outside else tuple(sorted(inside))

    def source_dim(self, dim: int) -> int | None:
        """The one source dimension that is result dimension `dim`, elements in equal order."""
        found = self.source_dims(dim)
        if found is None or len(found) != 1 or self.source[found[0]] != self.result[dim]:
            return None
        pieces = [p for p in self._by_both() or () if p.result_dim == dim]
        return found[0] if pieces == sorted(pieces, key=lambda p: p.rank) else None

    @property
    def keeps_last(self) -> bool:
        """Whether the last dimension of the source is the last of the result: whole rows move."""
        return self.source_dim(len(self.result) - 1) == len(self.source) - 1

    def resized(self, dim: int, size: int) -> "Rearrangement":
        """The same chain for another size of result dimension `dim` (see `source_dim`)."""
        source_dim = self.source_dim(dim)
        pieces = self._by_both()
        assert source_dim is not None and pieces is not None
        first = next(p for p in pieces if p.result_dim == dim)
        kept = [p for p in pieces if p.result_dim != dim or p is first]
        sized = [replace(p, size=size) if p is first else p for p in kept]
        source = (*self.source[:source_dim], size, *self.source[source_dim + 1 :])
        return _canonical(source, sized, (*self.result[:dim], size, *self.result[dim + 1 :]))

    def without(self, dims: Sequence[int]) -> "Rearrangement":
        """The same chain with result dimensions `dims` (see `source_dims`) gone on both sides."""
        pieces = self._by_both()
        assert pieces is not None
        gone = {d for dim in dims for d in self.source_dims(dim) or ()}
        source = tuple(s for d, s in enumerate(self.source) if d not in gone)
        result = tuple(s for d, s in enumerate(self.result) if d not in dims)
        return _canonical(source, [p for p in pieces if p.result_dim not in dims], result)

    def broadcast(self, shape: Sequence[int]) -> "Rearrangement | None":
        """The same chain for an operand of `shape`, which broadcasts to the result; its source
        then broadcasts to the source. None if it would not."""
        aligned = (1,) * (len(self.result) - len(shape)) + tuple(shape)
        pieces = self._by_both()
        if pieces is None:
            return None
        flat = {d for d, s in enumerate(self.result) if s != 1 and aligned[d] == 1}
        gone = {p.source_dim for p in pieces if p.result_dim in flat}
        kept = [p for p in pieces if p.result_dim not in flat]
        if gone & {p.source_dim for p in kept}:
            return None
        source = tuple(1 if d in gone else s for d, s in enumerate(self.source))
        return _canonical(source, kept, aligned).reshaped(shape)

    def _by_result(self) -> list[_Piece] | None:
        pieces = [_Piece(self.atoms[i], (i,)) for i in self.order]
        cut = _cut(pieces, self.result)
        if cut is None:
            return None
        return [replace(piece, result_dim=dim) for piece, dim in cut]

    def _by_both(self) -> list[_Piece] | None:
        pieces = self._by_result()
        if pieces is None:
            return None
        cut = _cut(sorted(pieces, key=lambda p: p.rank), self.source)
        if cut is None:
            return None
        # A cut at a source boundary splits a piece into neighbours in the result as well.
        parts: dict[tuple[int, ...], list[_Piece]] = {p.rank: [] for p in pieces}
        for piece, dim in cut:
            whole = next(r for r in parts if piece.rank[: len(r)] == r)
            parts[whole].append(replace(piece, source_dim=dim))
        return [part for piece in pieces for part in parts[piece.rank]]


def _cut(pieces: Iterable[_Piece], shape: Shape) -> list[tuple[_Piece, int]] | None:
    """Split pieces at the boundaries of `shape`'s dimensions: (piece, dimension) in order, or
    None where a boundary does not divide a piece evenly."""
    waiting = list(pieces)[::-1]
    done: list[tuple[_Piece, int]] = []
    for dim, size in enumerate(shape):
        missing = size
        while missing > 1:
            piece = waiting.pop()
            if piece.size <= missing:
                if missing % piece.size:
                    return None
                done.append((piece, dim))
                missing //= piece.size
                continue
            if piece.size % missing:
                return None
            done.append((replace(piece, size=missing, rank=(*piece.rank, 0)), dim))
            waiting.append(replace(piece, size=piece.size // missing, rank=(*piece.rank, 1)))
            missing = 1
    return done


def _canonical(source: Shape, pieces: Sequence[_Piece], result: Shape) -> Rearrangement:
    """Merge neighbours and drop pieces of size one; `pieces` are in result order."""
    kept = [p for p in pieces if p.size != 1]
    ranks = {rank: i for i, rank in enumerate(sorted(p.rank for p in kept))}
    runs: list[list[tuple[int, int]]] = []
    for piece in kept:
        place = ranks[piece.rank]
        if runs and runs[-1][-1][0] + 1 == place:
            runs[-1].append((place, piece.size))
        else:
            runs.append([(place, piece.size)])
    starts = sorted(run[0][0] for run in runs)
    by_start = {run[0][0]: prod(size for _, size in run) for run in runs}
    order = tuple(starts.index(run[0][0]) for run in runs)
    return Rearrangement(source, tuple(by_start[s] for s in starts), order, result)
