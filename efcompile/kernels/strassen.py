"""Seven products for eight: a matrix product cut once into quarters.

Strassen's algorithm in Winograd's form (Strassen 1969; Winograd 1971: 15 additions).  With A's
quarters by halves of rows and of k, and B's (the transposed weight's) by halves of k and of
columns,

    P1 = A11 B11         P5 = (A21 + A22) (B12 - B11)
    P2 = A12 B21         P6 = (A21 + A22 - A11) (B22 - B12 + B11)
    P3 = (A12 - S2) B22  P7 = (A11 - A21) (B22 - B12)
    P4 = A22 (B21 - T2)  with S2, T2 the factors of P6

    C11 = P1 + P2   C12 = P1 + P6 + P5 + P3   C21 = P1 + P6 + P7 + P4   C22 = P1 + P6 + P7 + P5

The factors of B are made when weights are packed, which therefore take 7/4 of the room; those of
A by `split`, or by `Factors.sink` where a product makes the rows.  An eighth of the multiply-adds
goes; moves of sums and factors take a third to a half of that again, so it pays for products that
are large in all dimensions.  Rounding errors stay within twice those of the plain product (sums
of k are half as long).

Rows come in pairs, one of each half: what is not finite in one reaches the other.  Callers see to
it that both belong to one image.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from efcompile.kernels.activations import VECTOR
from efcompile.kernels.emit import Emitter, Expr, View, float32, int32
from efcompile.kernels.kernel import Array
from efcompile.kernels.prefetch import Prefetch
from efcompile.kernels.register_tile import (
    MOST_VECTORS,
    Tile,
    choose_tile,
    cost,
    in_registers,
    vector_widths,
)
from efcompile.kernels.segment import Segment
from efcompile.kernels.span import Span
from efcompile.kernels.tile import gemm
from efcompile.targets.target import Target

PRODUCTS = 7

Four = Sequence[Expr]
"""Vectors of one row and column in each quarter: 11, 12, 21, 22."""

Sink = Callable[[Emitter, Expr, Expr, int, Four], None]
"""``sink(e, row, column, lanes, four)`` finishes and stores, from a row and column of C11."""


Prepare = Callable[[Emitter, View], Callable[[Expr, int], Expr]]
"""``prepare(e, row)`` reads a row of A where it lies; what it returns finishes each vector of it
(value, lanes) before factors are made of it."""


@dataclass(frozen=True)
class Factors:
    """The seven left factors of a matrix of `rows` x `depth` in `view`, one after the other:
    each [ceil(rows / 2), depth / 2].  Of an odd number of rows the lower half has one less;
    what stands in for it (any finite numbers) has no effect on the others."""

    view: View
    rows: int
    depth: int

    @property
    def size(self) -> int:
        """Floats of one factor."""
        return half(self.rows) * (self.depth // 2)

    def store(self, e: Emitter, row: Expr, column: Expr, lanes: int, four: Four) -> None:
        """A `Sink`: keep the factors of four finished vectors."""
        a11, a12, a21, a22 = four
        both = e.let(a21 + a22)
        rest = e.let(both - a11)
        index = e.let(row * (self.depth // 2) + column)
        for number, value in enumerate((a11, a12, a12 - rest, a22, both, rest, a11 - a21)):
            e.store(self.view, index + number * self.size, value, lanes)


LEAST_ROWS = 24
"""Rows of a half that must share a factor of the weights: fewer, and what takes the time is
loading 7/4 of the weights from memory (16 rows of 512 x 1024: 1.4 times the plain product's)."""

_TILE, _MOVE = 20, 1.0
"""Cycles that a tile takes to start and end, and that a vector's load or store takes."""

LINE = 16
"""Floats of a cache line."""

_NEAR, _FAR, _PANEL = 1.0, 3.0, 0.12
"""Cycles that a line takes on its way to L1: of A from L2 or, where it does not stay there, from
beyond, and of weights that are asked for ahead."""


def plain_cycles(m: int, n: int, k: int, tile: Tile, target: Target) -> float:
    """An estimate of the plain product of m rows, n columns and k elements."""
    tiles = -(-m // tile.rows) * -(-n // tile.panel)
    step = cost(m, n, tile.rows, tile.vectors, target, k, tile.pairs)
    return step * k + tiles * _TILE


def cycles(m: int, n: int, k: int, tile: Tile, target: Target) -> float:
    """The same in seven products by `tile`, with the factors of A and the sums of C."""
    columns = filled(n // 2, target.lanes)
    products = PRODUCTS * plain_cycles(half(m), columns, k // 2, tile, target)
    made, taken = half(m) * (k // 2) / target.lanes, half(m) * (n // 2) / target.lanes
    return products + _MOVE * (11 * made + 18 * taken)


def fetch_cycles(m: int, n: int, k: int, tile: Tile, target: Target, products: int = 1) -> float:
    """What so many products of left operands [m, k] wait, one after the other for each panel: for
    A, which comes anew for each panel, and for weights that outgrow L1, for each row of tiles."""
    read = _NEAR if 4 * products * m * k <= target.l2_bytes else _FAR
    outgrown = 4 * k * tile.panel > target.l1_bytes
    rows = -(-n // tile.panel) * m * k / LINE
    weights = -(-m // tile.rows) * n * k / LINE
    return products * (read * rows + outgrown * _PANEL * weights)


def fetched_cycles(m: int, n: int, k: int, tile: Tile, target: Target) -> float:
    """`cycles` and what the seven products wait."""
    waits = fetch_cycles(half(m), n // 2, k // 2, tile, target, PRODUCTS)
    return cycles(m, n, k, tile, target) + waits


def quarter_tiles(m: int, n: int, k: int, target: Target) -> list[Tile]:
    """Tiles for the quarters of a product of m rows, n columns and k elements: those no higher
    than as many of them must be (of 25 rows, 13 and 12 rather than 14 and 11), and no wider
    than high, as weights come from L2 for every row of them."""
    usual = choose_tile(half(m), filled(n // 2, target.lanes), target, k // 2)
    heights = {-(-half(m) // tiles) for tiles in range(1, half(m) + 1)}
    return [
        replace(usual, rows=rows, vectors=vectors)
        for vectors in range(1, min(MOST_VECTORS, -(-n // 2 // target.lanes)) + 1)
        for rows in sorted(heights)
        if vectors <= rows and in_registers(rows, vectors, target)
    ]


@lru_cache(maxsize=4096)
def choose_quarter_tile(m: int, n: int, k: int, target: Target) -> Tile:
    """The one with the fewest `fetched_cycles`: rather wide, as A's factors come from L2 for
    every panel."""
    tiles = quarter_tiles(m, n, k, target)
    return min(tiles, key=lambda tile: fetched_cycles(m, n, k, tile, target))


def row_blocks(m: int, images: int, *widths: int) -> tuple[int, ...]:
    """Rows that a block of m rows of so many images may have, rising: divisors of an image's, as
    rows of two images must not meet in one product; none if one of the `widths` is odd."""
    each = m // images
    if any(width % 2 for width in widths):
        return ()
    return tuple(r for r in range(2, each + 1) if each % r == 0 and half(r) >= LEAST_ROWS)


def half(rows: int) -> int:
    """Rows of the upper half."""
    return -(-rows // 2)


def factors_floats(rows: int, depth: int) -> int:
    """Floats of all seven `Factors`."""
    return PRODUCTS * half(rows) * (depth // 2)


def sums_floats(rows: int, tile: Tile) -> int:
    """Floats of scratch that `multiply` needs."""
    return PRODUCTS * half(rows) * tile.panel


def filled(columns: int, lanes: int) -> int:
    """Columns that the products of so many columns of a quarter have: where vectors of halving
    width would be more than whole ones, zeros fill the last one up (60 are 4 vectors of 16, not
    the 5 of ``16 + 16 + 16 + 8 + 4``; 56 remain 56)."""
    whole = -(-columns // lanes)
    return whole * lanes if len(vector_widths(columns, lanes)) > whole else columns


def pack_factors(weight: Array, tile: Tile) -> Array:
    """Weights [N, K], both even -> flat panels of half of the columns: of every panel the seven
    right factors, each [K / 2, `filled` width]."""
    n, k = weight.shape[0] // 2, weight.shape[1] // 2
    b11, b12, b21, b22 = weight[:n, :k], weight[n:, :k], weight[:n, k:], weight[n:, k:]
    rest = b22 - b12 + b11
    factors = (b11, b21, b22, b21 - rest, b12 - b11, rest, b22 - b12)
    zeros = np.zeros((filled(n, tile.lanes) - n, k), np.float32)
    whole = [np.concatenate([factor, zeros]) for factor in factors]
    starts = range(0, n, tile.panel)
    parts = [factor[c : c + tile.panel].T.ravel() for c in starts for factor in whole]
    return np.ascontiguousarray(np.concatenate(parts), dtype=np.float32)


def split(
    e: Emitter, source: View, factors: Factors, lanes: int, prepare: Prepare | None = None
) -> None:
    """Make the factors of a row-major matrix, its rows finished by `prepare`."""
    columns, upper, lower = factors.depth // 2, half(factors.rows), factors.rows // 2

    def row_code(row: Expr, whole: bool) -> None:
        top = source.at(e.let(row * factors.depth))
        bottom = source.at(e.let((row + upper) * factors.depth))
        rows = [(view, prepare and prepare(e, view)) for view in (top, bottom)[: 1 + whole]]

        def body(column: Expr, width: int) -> None:
            four = [float32(0.0, width)] * 4
            for number, (view, finish) in enumerate(rows):
                for side in (0, 1):
                    value = e.let(e.load(view, column + side * columns, width))
                    done = value if finish is None else e.let(finish(value, width))
                    four[2 * number + side] = done
            factors.store(e, row, column, width, four)

        with e.loop(columns // lanes, "vector") as vector:
            if columns >= lanes:
                body(e.let(vector * lanes), lanes)
        start = columns - columns % lanes
        for width in vector_widths(columns % lanes, lanes):
            body(start, width)
            start += width

    with e.loop(lower, "row") as row:
        row_code(row, True)
    if lower < upper:
        row_code(int32(lower), False)


def store_quarters(
    rows: int, columns: int, out: View, bias: View | None, act: str, residual: View | None
) -> Sink:
    """Store ``act(C + bias) + residual`` to row-major `out` of `rows` x `columns`."""
    upper = half(rows)

    def sink(e: Emitter, row: Expr, column: Expr, lanes: int, four: Four) -> None:
        def put(lower: int, values: Four) -> None:
            for side, value in enumerate(values):
                at = column + side * (columns // 2)
                index = e.let((row + lower * upper) * columns + at)
                value = finish(e, value, bias, at, lanes, act)
                if residual is not None:
                    value = value + e.load(residual, index, lanes)
                e.store(out, index, value, lanes)

        put(0, four[:2])
        if rows % 2 == 0:
            put(1, four[2:])
        else:
            with e.when(row < int32(rows // 2)):
                put(1, four[2:])

    return sink


def store_factors(factors: Factors, bias: View | None, act: str) -> Sink:
    """Make ``act(C + bias)`` the left operand of the next product."""

    def sink(e: Emitter, row: Expr, column: Expr, lanes: int, four: Four) -> None:
        right = column + factors.depth // 2
        starts = (column, right, column, right)
        done = [
            e.let(finish(e, value, bias, start, lanes, act))
            for value, start in zip(four, starts, strict=True)
        ]
        factors.store(e, row, column, lanes, done)

    return sink


def finish(e: Emitter, value: Expr, bias: View | None, column: Expr, lanes: int, act: str) -> Expr:
    """``act(value + bias)``."""
    if bias is not None:
        value = value + e.load(bias, column, lanes)
    return VECTOR[act](e, e.let(value), lanes)


def multiply(
    e: Emitter,
    tile: Tile,
    columns: int,
    factors: Factors,
    weights: View,
    sums: View,
    sink: Sink,
    prefetch: bool,
    panels: Span | None = None,
) -> None:
    """Emit the product of `factors` and weights (of `pack_factors`) of `columns` columns, or of
    some of the `panels` of a quarter's columns.

    `sums` is scratch of `sums_floats`: a panel's seven products, which are then put together.
    """
    rows, depth, panel = half(factors.rows), factors.depth // 2, tile.panel
    ahead = Prefetch.over(rows, PRODUCTS * columns, tile) if prefetch else None
    wanted = Span.whole(columns // 2, panel) if panels is None else panels

    def panel_code(column: Expr, width: int) -> None:
        packed = weights.at(e.let(column * (PRODUCTS * depth)))
        made = filled(width, tile.lanes)
        with e.loop(PRODUCTS, "product") as number:
            target = sums.at(e.let(number * (rows * made)))

            def keep(e: Emitter, row: Expr, at: Expr, lanes: int, value: Expr) -> None:
                e.store(target, e.let(row * made + at), value, lanes)

            a = factors.view.at(e.let(number * factors.size))
            w = packed.at(e.let(number * (depth * made)))
            row_tiles, one = Span.whole(rows, tile.rows), Span.whole(made, panel)
            gemm(e, tile, made, rows, row_tiles, one, [Segment(a, depth, depth)],
                 w, None, keep, prefetch=ahead)  # fmt: skip
        with e.loop(rows, "row") as row:
            start = 0
            for lanes in vector_widths(width, tile.lanes):
                index = e.let(row * made + start)
                four = _put_together(e, sums, index, rows * made, lanes)
                sink(e, row, e.let(column + start), lanes, four)
                start += lanes

    if columns // 2 >= panel:
        with e.loop(wanted.count, "panel") as index:
            panel_code(e.let((index + wanted.first) * panel), panel)
    if columns // 2 % panel:
        with nullcontext() if wanted.tail is True else e.when(wanted.tail):
            panel_code(columns // 2 // panel * panel, columns // 2 % panel)


def _put_together(e: Emitter, sums: View, index: Expr, size: int, lanes: int) -> Four:
    """The four quarters' vectors at `index` of each of the seven products."""
    p1, p2, p3, p4, p5, p6, p7 = (
        e.let(e.load(sums, index + number * size, lanes)) for number in range(PRODUCTS)
    )
    u2 = e.let(p1 + p6)
    u3 = e.let(u2 + p7)
    return e.let(p1 + p2), e.let(e.let(u2 + p5) + p3), e.let(u3 + p4), e.let(u3 + p5)
