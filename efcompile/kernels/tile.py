"""The register-tiled matrix product that every heavy kernel is made of.

``C[m, n] = epilogue(sum_k A[m, k] * W[n, k] + bias[n])`` over channels-last A and weights in
panels, see `register_tile`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod

from efcompile.kernels.activations import VECTOR
from efcompile.kernels.emit import Emitter, Expr, Register, View, float32, int32, lane, splat
from efcompile.kernels.register_tile import Tile, vector_widths
from efcompile.kernels.span import Span

Sink = Callable[[Emitter, Expr, Expr, int, Expr], None]
"""``sink(e, row, column, lanes, value)`` finishes (activation, residual) and stores a vector."""


@dataclass(frozen=True)
class Segment:
    """Runs of the k dimension: row r of A has `depth` elements at ``r * stride`` in `a`.

    `repeats` nests further runs around them, outermost first: (count, step) says that `count`
    of what is inside follow one another, `step` elements apart in `a` (the rows of a stencil).
    """

    a: View
    stride: int
    depth: int
    repeats: tuple[tuple[int, int], ...] = ()

    @property
    def total(self) -> int:
        """Elements of k in all its runs."""
        return self.depth * prod(count for count, _ in self.repeats)


def store_epilogue(out: View, columns: int, act: str, residual: View | None) -> Sink:
    """A sink that stores ``act(value) + residual`` to row-major `out` of `columns` columns."""

    def sink(e: Emitter, row: Expr, column: Expr, lanes: int, value: Expr) -> None:
        index = e.let(row * columns + column)
        value = VECTOR[act](e, value, lanes)
        if residual is not None:
            value = value + e.load(residual, index, lanes)
        e.store(out, index, value, lanes)

    return sink


def gemm(
    e: Emitter,
    tile: Tile,
    columns: int,
    rows_total: int,
    rows: Span,
    panels: Span,
    segments: Sequence[Segment],
    weights: View,
    bias: View | None,
    sink: Sink,
    stage: View | None = None,
    weight_stride: int | None = None,
) -> None:
    """Emit the product for the row tiles of `rows` and the column panels of `panels`.

    `weights` are packed panels, or a matrix [K, columns] with rows `weight_stride` apart.
    With `stage` (scratch of rows * panel floats) a tile's sums are stored there first and the
    sink runs over them in a small loop: for epilogues too heavy for the accumulators.
    """
    panel = tile.panel
    depth = sum(segment.total for segment in segments)
    tail_rows, tail_columns = rows_total % tile.rows, columns % panel

    def panel_code(column: Expr, widths: tuple[int, ...]) -> None:
        def tile_code(row: Expr, count: int) -> None:
            _tile(e, tile, row, count, column, widths, segments, w, pitch, bias, sink, stage)

        w = weights.at(column * depth if weight_stride is None else column)
        pitch = sum(widths) if weight_stride is None else weight_stride
        with e.loop(rows.count, "row_tile") as index:
            if not _is_zero(rows.count):
                tile_code(e.let((index + rows.first) * tile.rows, "row"), tile.rows)
        if tail_rows:
            with _guard(e, rows.tail) as needed:
                if needed:
                    tile_code(rows_total - tail_rows, tail_rows)

    if not _is_zero(panels.count):
        with e.loop(panels.count, "panel") as index:
            column = e.let((index + panels.first) * panel, "column")
            panel_code(column, (tile.lanes,) * tile.vectors)
    if tail_columns:
        with _guard(e, panels.tail) as needed:
            if needed:
                panel_code(columns - tail_columns, vector_widths(tail_columns, tile.lanes))


@contextmanager
def _guard(e: Emitter, tail: Expr) -> Iterator[bool]:
    """Yield whether code is needed at all, inside a branch if only run time can tell."""
    if isinstance(tail, bool):
        yield tail
    else:
        with e.when(tail):
            yield True


def _is_zero(value: Expr) -> bool:
    return isinstance(value, int) and value == 0


@dataclass(frozen=True)
class _Sums:
    """The accumulators of one register tile: `registers` by row and vector, `vectors` the
    (index, first column, lanes) of each of a row; the weights have `pitch` elements from one k
    to the next."""

    tile: Tile
    registers: list[list[Register]]
    vectors: list[tuple[int, int, int]]
    pitch: int

    def add(self, e: Emitter, row: int, vector: int, value: Expr) -> None:
        """Add to one accumulator."""
        total = self.registers[row][vector]
        e.set(total, e.get(total) + value)


def _tile(
    e: Emitter,
    tile: Tile,
    row: Expr,
    count: int,
    column: Expr,
    widths: tuple[int, ...],
    segments: Sequence[Segment],
    weights: View,
    pitch: int,
    bias: View | None,
    sink: Sink,
    stage: View | None,
) -> None:
    """One register tile: `count` rows from `row`, vectors of `widths` columns from `column`,
    where `weights` starts; it has `pitch` elements from one k to the next."""
    vectors = [(v, sum(widths[:v]), lanes) for v, lanes in enumerate(widths)]
    initial = [
        float32(0.0, lanes) if bias is None else e.let(e.load(bias, column + start, lanes))
        for _, start, lanes in vectors
    ]
    registers = [
        [e.register(lanes, value=initial[v]) for v, _, lanes in vectors] for _ in range(count)
    ]
    sums = _Sums(tile, registers, vectors, pitch)
    done = 0
    for segment in segments:
        _runs(e, sums, segment.a.at(row * segment.stride), segment, weights.at(done * pitch))
        done += segment.total
    if stage is None:
        for r in range(count):
            for v, start, lanes in vectors:
                sink(e, row + r, column + start, lanes, e.get(registers[r][v]))
        return
    width = sum(widths)
    for r in range(count):
        for v, start, lanes in vectors:
            e.store(stage, r * width + start, e.get(registers[r][v]), lanes)
    with e.loop(count, "staged") as r:
        for _, start, lanes in vectors:
            sink(e, row + r, column + start, lanes, e.load(stage, r * width + start, lanes))


def _runs(e: Emitter, sums: _Sums, a: View, segment: Segment, weights: View) -> None:
    """All runs of `segment`, the repeats as loops around one run's code."""
    if not segment.repeats:
        _accumulate(e, sums, a, segment, weights)
        return
    (count, step), inner = segment.repeats[0], segment.repeats[1:]
    rest = replace(segment, repeats=inner)
    with e.loop(count, "run") as run:
        moved = weights.at(run * (rest.total * sums.pitch))
        _runs(e, sums, a.at(run * step), rest, moved)


def _accumulate(e: Emitter, sums: _Sums, a: View, segment: Segment, weights: View) -> None:
    """``sums += A[:, segment] @ weights[segment]``."""
    tile, pitch, rows = sums.tile, sums.pitch, range(len(sums.registers))

    def broadcast_step(k: Expr) -> None:
        w = [e.let(e.load(weights, k * pitch + start, lanes)) for _, start, lanes in sums.vectors]
        for r in rows:
            x = e.let(e.load(a, r * segment.stride + k))
            for v, _, lanes in sums.vectors:
                sums.add(e, r, v, splat(x, lanes) * w[v])

    def lane_steps(k: Expr, steps: int) -> None:
        x = [e.let(e.load(a, r * segment.stride + k, steps)) for r in rows]
        for step in range(steps):
            for v, start, lanes in sums.vectors:
                w = e.let(e.load(weights, (k + step) * pitch + start, lanes))
                for r in rows:
                    element = lane(x[r], step) if steps > 1 else x[r]
                    sums.add(e, r, v, splat(element, lanes) * w)

    def steps(k: Expr, count: int) -> None:
        if not tile.lane_a:
            for step in range(count):
                broadcast_step(k + step)
            return
        for start in range(0, count, 4):
            if count - start >= 4:
                lane_steps(k + start, 4)
            else:
                for step in range(start, count):
                    lane_steps(k + step, 1)

    unroll = min(tile.unroll, segment.depth)
    whole = segment.depth // unroll
    with e.loop(whole, "k") as k:
        steps(k * unroll, unroll)
    if segment.depth % unroll:
        steps(int32(whole * unroll), segment.depth % unroll)
