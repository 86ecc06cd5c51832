"""Rows of an image: copies with zero borders, and matrix products over several of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from efcompile.kernels.emit import Emitter, Expr, View, float32, int32, select
from efcompile.kernels.pairs import store_left_sums
from efcompile.kernels.prefetch import Prefetch
from efcompile.kernels.register_tile import Tile, vector_widths
from efcompile.kernels.segment import Segment
from efcompile.kernels.side_by_side import SideBySide
from efcompile.kernels.span import Span
from efcompile.kernels.tile import Sink, gemm


@dataclass(frozen=True)
class PaddedRow:
    """A row of an image with zeros around it, in elements: `left` zeros, the first `copied`
    of the row, `right` zeros."""

    left: int
    copied: int
    right: int

    @staticmethod
    def around(width: int, padding: int, used: int, element: int) -> "PaddedRow":
        """`padding` pixels left of a row of `width`, cut or filled up to `used` pixels of
        `element` floats each."""
        left = min(padding, used)
        copied = max(0, min(width, used - left))
        return PaddedRow(left * element, copied * element, (used - left - copied) * element)

    @property
    def pitch(self) -> int:
        """Elements in all."""
        return self.left + self.copied + self.right


def smaller(a: Expr, b: Expr) -> Expr:
    """The smaller of two integers."""
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    return select(a < b, int32(a), int32(b))


def larger(a: Expr, b: Expr) -> Expr:
    """The larger of two integers."""
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    return select(a > b, int32(a), int32(b))


def vector_runs(e: Emitter, count: int, lanes: int, unroll: int = 1) -> Iterator[tuple[Expr, int]]:
    """Cover `count` elements by vectors: yields (start, width) for the caller to emit code at.

    Whole vectors come from one loop with `unroll` of them in its body; what is left has
    straight code of halving widths.
    """
    step = lanes * unroll
    whole = count // step
    if whole:
        with e.loop(whole, "vector") as index:
            first = e.let(index * step)
            for u in range(unroll):
                yield first + u * lanes, lanes
    start = whole * step
    for width in vector_widths(count - start, lanes):
        yield start, width
        start += width


def zero(e: Emitter, view: View, count: int, lanes: int) -> None:
    """Store `count` zeros."""
    for start, width in vector_runs(e, count, lanes):
        e.store(view, start, float32(0.0, width), width)


def copy(e: Emitter, source: View, target: View, count: int, lanes: int) -> None:
    """Copy `count` elements."""
    for start, width in vector_runs(e, count, lanes, unroll=4):
        e.store(target, start, e.load(source, start, width), width)


def copy_padded(
    e: Emitter,
    row: PaddedRow,
    source: View,
    source_pitch: int,
    height: int,
    first: Expr,
    count: Expr,
    target: View,
    lanes: int,
) -> None:
    """Copy rows ``first .. first + count`` of `source` (`height` rows, `source_pitch` elements
    apart) to consecutive padded rows of `target`; rows outside the image become zeros."""
    with e.loop(count, "row") as index:
        y = e.let(first + index)
        here = target.at(e.let(index * row.pitch))
        with e.when((y >= int32(0)) & (y < int32(height))):
            zero(e, here, row.left, lanes)
            copy(e, source.at(e.let(y * source_pitch)), here.at(row.left), row.copied, lanes)
            zero(e, here.at(row.left + row.copied), row.right, lanes)
        with e.when((y < int32(0)) | (y >= int32(height))):
            zero(e, here, row.pitch, lanes)


def gemm_rows(
    e: Emitter,
    tile: Tile,
    columns: int,
    width: int,
    rows: Expr,
    panels: Span,
    segments: Callable[[Expr], Sequence[Segment]],
    weights: View,
    bias: View | None,
    sink: Callable[[Expr], Sink | SideBySide],
    stage: View | None,
    most_rows: int | None = None,
    left_sums: View | None = None,
    borders: Callable[[Expr], tuple[View, View]] | None = None,
) -> None:
    """`gemm` over `rows` image rows of `width` pixels each, row y having its own
    ``segments(y)`` and ``sink(y)``.  A weight panel stays in the cache while all rows go by.
    With `most_rows`, what `rows` is but for the last task, weights are prefetched.
    What segments have `outside` is left of the image row: only its first tile leaves it out.
    For tiles with `pairs` `left_sums` is scratch of a float for each pixel, and where something is
    left out ``borders(y)`` is the bias of row y and that of its first pixel."""
    tiles = -(-width // tile.rows)
    ahead = (
        None if most_rows is None else Prefetch.over(most_rows * tiles * tile.rows, columns, tile)
    )

    def parts_of(y: Expr) -> list[tuple[Span, Sequence[Segment]]]:
        first = segments(y)
        if not (width > tile.rows and any(segment.outside for segment in first)):
            return [(Span.whole(width, tile.rows), first)]
        after = Span(1, width // tile.rows - 1, width % tile.rows != 0)
        inner = [replace(segment, outside=0) for segment in first]
        return [(Span(0, 1, False), first), (after, inner)]

    def all_rows(part: Span) -> None:
        with e.loop(rows, "y") as y:
            begin = bias if borders is None else borders(y)[0]
            for number, (tiles_of, where) in enumerate(parts_of(y)):
                asked = None if ahead is None else replace(ahead, done=y * tiles + number)
                pixel = borders and number == 0 and any(segment.outside for segment in where)
                gemm(
                    e, tile, columns, width, tiles_of, part, where, weights, begin, sink(y),
                    stage, prefetch=asked, left_sums=left_of(y),
                    first_bias=borders(y)[1] if borders and pixel else None,
                )  # fmt: skip

    def left_of(y: Expr) -> View | None:
        return None if left_sums is None else left_sums.at(e.let(y * width))

    if left_sums is not None:
        with e.loop(rows, "y") as y:
            for tiles_of, where in parts_of(y):
                store_left_sums(e, tile, columns, width, tiles_of, where, bias, left_of(y))
    if not (isinstance(panels.count, int) and panels.count == 0):
        with e.loop(panels.count, "panel") as index:
            all_rows(Span(e.let(index + panels.first), 1, False))
    if columns % tile.panel:
        if isinstance(panels.tail, bool):
            if panels.tail:
                all_rows(Span(0, 0, True))
        else:
            with e.when(panels.tail):
                all_rows(Span(0, 0, True))
