"""A matrix laid out so that NEON reads four elements of two rows with one instruction.

The rows of each row tile lie side by side, four elements of each in turn:
``[tile][depth / 4][row of the tile][4]``, a shorter last tile at its own width.  A tile that
starts at row r starts at element ``r * depth``, as in a plain matrix.  (Row by row, the elements
that a multiply-add wants next are a row apart, and every load brings those of one row only.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

from efcompile.kernels.activations import CHEAP, VECTOR
from efcompile.kernels.emit import Emitter, Expr, Register, View, int32, select
from efcompile.kernels.span import Span

LANES = 4
"""Elements of a row that lie together: a NEON vector."""

_AT_ONCE = 7
"""Vectors at most in the body of an activation's loop: independent work for cores that run in
order, and constants that LLVM makes anew in every round are made for all of them."""


def fits(depth: int) -> bool:
    """Whether rows of `depth` elements are whole vectors."""
    return depth % LANES == 0


def pays(columns: int, depth: int) -> bool:
    """Whether a copy of `depth` elements a row is worth it for a product of `columns`: it takes
    a third of an instruction an element, and saves one in 24 of the multiply-adds."""
    return fits(depth) and columns >= 64


def lay_side_by_side(
    e: Emitter,
    x: View,
    rows_total: int,
    depth: int,
    tile_rows: int,
    out: View,
    rows: Span | None = None,
) -> None:
    """Copy the row tiles of `rows` (None: all) from the matrix `x` of `rows_total` rows of
    `depth` elements to the same places of `out`."""

    def tile(row: Expr, count: int) -> None:
        source, target = x.at(e.let(row * depth)), out.at(e.let(row * depth))

        def copy(start: Expr, vectors: int) -> None:
            for v in range(vectors):
                for r in range(count):
                    value = e.load(source, start + (r * depth + v * LANES), LANES)
                    e.store(target, start * count + (v * count + r) * LANES, value, LANES)

        pairs, rest = divmod(depth, 2 * LANES)
        with e.loop(pairs, "pair") as pair:
            if pairs:
                copy(e.let(pair * (2 * LANES)), 2)
        if rest:
            copy(pairs * 2 * LANES, 1)

    span = Span.whole(rows_total, tile_rows) if rows is None else rows
    if not (isinstance(span.count, int) and span.count == 0):
        with e.loop(span.count, "row_tile") as index:
            tile(e.let((index + span.first) * tile_rows), tile_rows)
    rest = rows_total % tile_rows
    if rest and span.tail is True:
        tile(rows_total - rest, rest)
    elif rest and span.tail is not False:
        with e.when(span.tail):
            tile(rows_total - rest, rest)


def own_base(e: Emitter, begin: Expr, scratch: View, floats: int) -> View:
    """``scratch.at(floats)`` with a register of its own; `begin` is the kernel's first task.

    LLVM would fold a constant offset into every access.  It fits into those of one vector, but
    accesses of two reach 1008 bytes only, and LLVM forms them last.
    """
    if floats == 0:
        return scratch
    # No task is negative, but LLVM does not know.
    return scratch.at(e.hold(select(begin < int32(0), int32(0), int32(floats))))


@dataclass(frozen=True)
class SideBySide:
    """Where a product leaves ``act(sums)``, a matrix of `columns`, for the next one to read."""

    out: View
    columns: int
    act: str

    def store(
        self, e: Emitter, row: Expr, column: Expr, sums: Sequence[Sequence[Register]]
    ) -> None:
        """Store a tile's `sums` (by row and vector, all of `LANES`) from `row` and `column`."""
        count, vectors = len(sums), len(sums[0])
        start = e.let(row * self.columns + column * count)
        for v in range(vectors):
            for r in range(count):
                self.put(e, start + (v * count + r) * LANES, e.get(sums[r][v]))
        self.activate(e, start, count * vectors)

    def put(self, e: Emitter, index: Expr, value: Expr) -> None:
        """Store one vector of sums, a cheap activation applied."""
        if self.act in CHEAP:
            value = VECTOR[self.act](e, value, LANES)
        e.store(self.out, index, value, LANES)

    def activate(self, e: Emitter, start: Expr, vectors: int) -> None:
        """Apply an activation that is not cheap to `vectors` from `start`, in place."""
        if self.act in CHEAP:
            return
        at_once = max(n for n in range(1, _AT_ONCE + 1) if vectors % n == 0)
        with e.loop(vectors // at_once, "activated") as index:
            first = e.let(start + index * (at_once * LANES))
            values = [e.let(e.load(self.out, first + i * LANES, LANES)) for i in range(at_once)]
            for i, value in enumerate(values):
                e.store(self.out, first + i * LANES, VECTOR[self.act](e, value, LANES), LANES)


def place(row: int, columns: int, tile_rows: int) -> int:
    """Where a row's elements start in a matrix of `columns`; those of column c are
    ``c * tile_rows`` further (c a multiple of `LANES`)."""
    return row // tile_rows * tile_rows * columns + row % tile_rows * LANES
