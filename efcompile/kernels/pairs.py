"""Two multiply-adds for the price of one and two additions.

A core with pipes for additions beside those of the multiply-adds (AMD's Zen) leaves the former idle
in a matrix product.  Winograd's inner product (1968) moves work there: with

    (a0 + b1) (a1 + b0) = a0 b0 + a1 b1 + a0 a1 + b0 b1

two elements of k take one multiply-add and two additions.  The sum of ``b0 b1`` belongs to a
column and is known when weights are packed; that of ``a0 a1`` belongs to a row, see
`store_left_sums`.
Of every four elements two are such a pair and two are multiplied as usual: three multiply-adds and
two additions, which keeps the pipes of the former busy (with more pairs other limits show).

Sums are those of products of ``a0 + b1``, so errors are the least where both are as large: weights
are multiplied by a power of two that makes them so for activations as large as measured, and
activations r times as large, or as small, have about r times the error (a plain product's is about
as that of r = 3).  What is not finite in a row reaches all its columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from efcompile.kernels.emit import Emitter, Expr, Register, View, float32, lanes_of, splat
from efcompile.kernels.kernel import Array
from efcompile.kernels.register_tile import Tile, pack_panels, vector_widths
from efcompile.kernels.segment import Segment
from efcompile.kernels.span import Span, guard, is_zero

GROUP = 4
"""Elements of k of which the first two are a pair."""


def pack_product(weight: Array, bias: Array | None, tile: Tile, rms: float | None) -> list[Array]:
    """Weights [N, K] in panels of `tile`, and [bias]; for pairs the constants that sums start from,
    and as element N the factor that they end with.  `rms` is A's root mean square, if known."""
    if not tile.pairs:
        return [pack_panels(weight, tile.panel), *([] if bias is None else [bias])]
    power = _power(weight, rms)
    scaled = weight.astype(np.float64) * power
    whole = weight.shape[1] // GROUP * GROUP
    groups = scaled[:, :whole].reshape(weight.shape[0], -1, GROUP)
    start = -(groups[..., 0] * groups[..., 1]).sum(1)
    if bias is not None:
        start += bias.astype(np.float64) * power
    constants = np.append(start, 1 / power).astype(np.float32)
    return [pack_panels(scaled.astype(np.float32), tile.panel), constants]


def pack_borders(
    weight: Array, bias: Array | None, tile: Tile, rms: float | None, above: int, left: int
) -> list[Array]:
    """Weights [N, kh, kw, C], C of whole groups, in panels, and the constants of `pack_product` for
    windows that leave out 0 to `above` of their rows, [above + 1, 2, N + 1]: of each those that
    leave out no column and those that leave out `left` too."""
    flat = weight.reshape(len(weight), -1)
    panels, constants = pack_product(flat, bias, tile, rms)
    groups = (weight / np.float64(constants[-1])).reshape(*weight.shape[:3], -1, GROUP)
    taps = (groups[..., 0] * groups[..., 1]).sum(-1)
    every = np.repeat(constants.astype(np.float64)[None, None], above + 1, 0).repeat(2, 1)
    for rows in range(above + 1):
        for side, columns in enumerate((0, left)):
            missing = taps.sum((1, 2)) - taps[:, rows:, columns:].sum((1, 2))
            every[rows, side, :-1] += missing
    return [panels, every.astype(np.float32)]


def _power(weight: Array, rms: float | None) -> float:
    """The power of two that makes weights about as large as A."""
    ratio = (1.0 if rms is None else rms) / max(_rms(weight), _LEAST)
    return float(2.0 ** np.clip(np.round(np.log2(max(ratio, _LEAST))), -60, 60))


_LEAST = 1e-30
"""Stands for zero where a logarithm is taken."""


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def result_rms(weight: Array, bias: Array | None, rms: float | None) -> float:
    """About the root mean square of a layer's result: weights [N, ...] of each of N channels, its
    bias, and A's if known.  As if elements of A had nothing to do with one another; activations
    are left out, as a factor of two does not matter."""
    size = 1.0 if rms is None else rms
    squares = np.square(weight.reshape(weight.shape[0], -1), dtype=np.float64).sum(1) * size**2
    if bias is not None:
        squares = squares + np.square(bias, dtype=np.float64)
    return float(np.sqrt(squares.mean()))


@dataclass(frozen=True)
class Ends:
    """What becomes of finished sums: times `factor`, less what `left_sums` has for the row."""

    factor: Expr
    left_sums: View

    @staticmethod
    def found(
        e: Emitter, tile: Tile, columns: int, constants: View | None, left_sums: View | None
    ) -> "Ends | None":
        """Of the constants that `pack_product` made for so many columns; None without pairs."""
        if not tile.pairs:
            return None
        assert constants is not None and left_sums is not None, "products of pairs have both"
        return Ends(e.let(e.load(constants, columns)), left_sums)

    def of(self, e: Emitter, row: Expr, lanes: int, value: Expr) -> Expr:
        """A vector of the row."""
        return value * splat(self.factor, lanes) - splat(e.load(self.left_sums, row), lanes)


def store_left_sums(
    e: Emitter,
    tile: Tile,
    columns: int,
    rows_total: int,
    rows: Span,
    segments: Sequence[Segment],
    constants: View | None,
    left_sums: View | None,
) -> None:
    """Store what `gemm` takes from the sums of rows: those of the products of pairs of A, times the
    factor that sums end with.  Nothing if `tile` has no pairs."""
    ends = Ends.found(e, tile, columns, constants, left_sums)
    if ends is None:
        return

    def some(row: Expr, count: int) -> None:
        for index, value in enumerate(_pair_sums(e, segments, row, count, tile.lanes)):
            e.store(ends.left_sums, row + index, value * ends.factor)

    with e.loop(rows.count, "row_tile") as index:
        if not is_zero(rows.count):
            some(e.let((index + rows.first) * tile.rows, "row"), tile.rows)
    tail = rows_total % tile.rows
    if tail:
        with guard(e, rows.tail) as needed:
            if needed:
                some(rows_total - tail, tail)


def _parts(segment: Segment) -> list[tuple[int, int]]:
    """Starts and lengths of the parts of a run: what the first row leaves out, and the rest."""
    outside = segment.outside
    return [
        (start, size) for start, size in ((0, outside), (outside, segment.depth - outside)) if size
    ]


def _pair_sums(
    e: Emitter, segments: Sequence[Segment], first: Expr, rows: int, lanes: int
) -> list[Expr]:
    """The sums of the products of the pairs of so many rows from `first`."""
    parts = [depth // GROUP * GROUP % lanes for s in segments for _, depth in _parts(s)]
    widths = {lanes}.union(*(vector_widths(rest, lanes) for rest in parts))
    totals: dict[int, list[Register]] = {
        width: [e.register(width, value=float32(0.0, width)) for _ in range(rows)]
        for width in sorted(widths)
    }

    def add(at: View, segment: Segment, start: Expr, width: int, first: int) -> None:
        for row, total in list(enumerate(totals[width]))[first:]:
            here = start + row * segment.stride
            x, y = e.let(e.load(at, here, width)), e.load(at, here, width)
            # Elements of the lowest lane of every group are products of its pair; the others
            # are not used.
            after = lanes_of(y, [lane | 1 for lane in range(width)])
            e.set(total, e.get(total) + x * after)

    def part(at: View, segment: Segment, depth: int, first: int) -> None:
        whole, rest = divmod(depth // GROUP * GROUP, lanes)
        if whole:
            with e.loop(whole, "vector") as vector:
                add(at, segment, vector * lanes, lanes, first)
        done = whole * lanes
        for width in vector_widths(rest, lanes):
            add(at, segment, done, width, first)
            done += width

    def walk(at: View, segment: Segment, repeats: tuple[tuple[int, int], ...]) -> None:
        if repeats:
            (count, pitch), inner = repeats[0], repeats[1:]
            begin = 0 if inner else segment.skipped
            with e.loop(count - begin, "run", begin) as run:
                walk(at.at(run * pitch), segment, inner)
            return
        for start, depth in _parts(segment):
            part(at.at(start), segment, depth, first=1 if start < segment.outside else 0)

    for segment in segments:
        walk(segment.a.at(e.let(first * segment.stride)), segment, segment.repeats)

    def whole_sum(row: int) -> Expr:
        value, width = e.get(totals[lanes][row]), lanes
        while width > GROUP:
            width //= 2
            low, high = (lanes_of(value, range(start, start + width)) for start in (0, width))
            value = e.let(low + high)
            if width in totals:
                value = e.let(value + e.get(totals[width][row]))
        return lanes_of(value, range(1))

    return [e.let(whole_sum(row)) for row in range(rows)]
