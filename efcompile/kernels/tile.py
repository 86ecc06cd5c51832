"""The register-tiled matrix product that every heavy kernel is made of.

``C[m, n] = epilogue(sum_k A[m, k] * W[n, k] + bias[n])`` over channels-last A.  Weights are
packed into *panels*: the columns are cut into groups of `Tile.vectors` SIMD vectors, and a
panel holds its columns k-major ([K, width]), so the inner loop streams it.  The last panel is
as narrow as the remainder needs (vectors of halving width), so nothing is padded; a panel that
starts at column c starts at element ``c * K``, whatever the widths.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from efcompile.kernels.activations import VECTOR
from efcompile.kernels.emit import (
    Emitter,
    Expr,
    Register,
    View,
    float32,
    int32,
    lane,
    select,
    splat,
)
from efcompile.kernels.kernel import Array
from efcompile.targets.target import Target

Sink = Callable[[Emitter, Expr, Expr, int, Expr], None]
"""``sink(e, row, column, lanes, value)`` finishes (activation, residual) and stores a vector."""


@dataclass(frozen=True)
class Tile:
    """A register tile: `rows` x `vectors` accumulators of `lanes`, k unrolled by `unroll`.

    `lane_a` loads A as vectors along k and multiplies by one lane of them (NEON has that in
    the multiply-add); otherwise each A element is broadcast from memory (x86).
    """

    rows: int
    vectors: int
    lanes: int
    unroll: int
    lane_a: bool

    @property
    def panel(self) -> int:
        """Columns of a full panel."""
        return self.vectors * self.lanes


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


@dataclass(frozen=True)
class Span:
    """Whole tiles ``first .. first + count`` of one dimension, then its remainder when `tail`
    (a Python bool if known at build time, else a condition)."""

    first: Expr
    count: Expr
    tail: Expr

    @staticmethod
    def whole(size: int, tile: int) -> "Span":
        """All of a dimension of `size` in tiles of `tile`."""
        return Span(0, size // tile, size % tile != 0)


def share(e: Emitter, index: Expr, parts: int, size: int, total: int) -> Span:
    """Part `index` of `total` whole tiles cut into `parts` of `size`; the last part takes what
    is left and the remainder of the dimension."""
    if parts == 1:
        return Span(0, total, True)
    first = e.let(index * size)
    last = index == int32(parts - 1)
    return Span(first, e.let(select(last, total - first, int32(size))), last)


def store_epilogue(out: View, columns: int, act: str, residual: View | None) -> Sink:
    """A sink that stores ``act(value) + residual`` to row-major `out` of `columns` columns."""

    def sink(e: Emitter, row: Expr, column: Expr, lanes: int, value: Expr) -> None:
        index = e.let(row * columns + column)
        value = VECTOR[act](e, value, lanes)
        if residual is not None:
            value = value + e.load(residual, index, lanes)
        e.store(out, index, value, lanes)

    return sink


def vector_widths(columns: int, lanes: int) -> tuple[int, ...]:
    """`columns` as vectors: as many of `lanes` as fit, then halving widths down to one."""
    widths: list[int] = []
    width = lanes
    while columns:
        widths += [width] * (columns // width)
        columns %= width
        width //= 2
    return tuple(widths)


def pack_panels(weight: Array, panel: int) -> Array:
    """Weights [N, K] -> flat panels of `panel` columns, each [K, width] (the last narrower)."""
    columns = weight.shape[0]
    parts = [weight[c : c + panel].T.ravel() for c in range(0, columns, panel)]
    return np.ascontiguousarray(np.concatenate(parts), dtype=np.float32)


def choose_tile(m: int, n: int, target: Target) -> Tile:
    """The tile that covers m x n in the fewest estimated cycles within the registers.

    A tile of r rows and v vectors needs r * v accumulators, the v weights and the A operands
    (one, reloaded, where it is broadcast) in registers.  Per k step it takes at least r * v / 2
    cycles of the two multiply-add pipes, (r + v) / 2 of the two load ports, and 4 of latency.
    """
    lane_a = target.arch == "aarch64"

    def fits(rows: int, vectors: int) -> bool:
        operands = rows + vectors if lane_a else vectors + 1
        return rows * vectors + operands <= target.registers

    def step(rows: int, vectors: float) -> float:
        loads = rows / 4 + vectors if lane_a else rows + vectors
        return max(rows * vectors / 2, loads / 2, 4.0)

    def cost(rows: int, vectors: int) -> float:
        panel = vectors * target.lanes
        tail_vectors = len(vector_widths(n % panel, target.lanes))
        total = 0.0
        for tile_rows, times in ((rows, m // rows), (m % rows, 1)):
            if tile_rows:
                total += times * (n // panel) * step(tile_rows, vectors)
                total += times * (step(tile_rows, tail_vectors) if tail_vectors else 0.0)
        # Fewer, larger tiles win ties: each tile pays for its start, epilogue and k-loop exit.
        return total * (1 + 0.5 / (rows * vectors))

    widest = -(-n // target.lanes)
    candidates = [
        (rows, vectors)
        for vectors in range(1, min(6, widest) + 1)
        for rows in range(1, min(m, target.registers) + 1)
        if fits(rows, vectors)
    ]
    rows, vectors = min(candidates, key=lambda c: cost(*c))
    return Tile(rows, vectors, target.lanes, unroll=8 if lane_a else 4, lane_a=lane_a)


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
    starts = [sum(widths[:v]) for v in range(len(widths))]
    width = sum(widths)
    initial = [
        float32(0.0, lanes) if bias is None else e.let(e.load(bias, column + start, lanes))
        for start, lanes in zip(starts, widths, strict=True)
    ]
    sums = [
        [e.register(lanes, value=initial[v]) for v, lanes in enumerate(widths)]
        for _ in range(count)
    ]
    done = 0
    for segment in segments:
        base = segment.a.at(row * segment.stride)
        run = weights.at(done * pitch)
        _runs(e, tile, sums, widths, starts, base, segment, run, pitch)
        done += segment.total
    if stage is None:
        for r in range(count):
            for v, lanes in enumerate(widths):
                sink(e, row + r, column + starts[v], lanes, e.get(sums[r][v]))
        return
    for r in range(count):
        for v, lanes in enumerate(widths):
            e.store(stage, r * width + starts[v], e.get(sums[r][v]), lanes)
    with e.loop(count, "staged") as r:
        for v, lanes in enumerate(widths):
            sink(e, row + r, column + starts[v], lanes, e.load(stage, r * width + starts[v], lanes))


def _runs(
    e: Emitter,
    tile: Tile,
    sums: list[list[Register]],
    widths: tuple[int, ...],
    starts: list[int],
    a: View,
    segment: Segment,
    weights: View,
    pitch: int,
) -> None:
    """All runs of `segment`, the repeats as loops around one run's code."""
    if not segment.repeats:
        _accumulate(e, tile, sums, widths, starts, a, segment, weights, pitch)
        return
    (count, step), inner = segment.repeats[0], segment.repeats[1:]
    rest = replace(segment, repeats=inner)
    with e.loop(count, "run") as run:
        moved = weights.at(run * (rest.total * pitch))
        _runs(e, tile, sums, widths, starts, a.at(run * step), rest, moved, pitch)


def _accumulate(
    e: Emitter,
    tile: Tile,
    sums: list[list[Register]],
    widths: tuple[int, ...],
    starts: list[int],
    a: View,
    segment: Segment,
    weights: View,
    pitch: int,
) -> None:
    """``sums += A[:, segment] @ weights[segment]``."""
    rows = len(sums)

    def broadcast_step(k: Expr) -> None:
        w = [
            e.let(e.load(weights, k * pitch + start, lanes))
            for start, lanes in zip(starts, widths, strict=True)
        ]
        for r in range(rows):
            x = e.let(e.load(a, r * segment.stride + k))
            for v, lanes in enumerate(widths):
                e.set(sums[r][v], e.get(sums[r][v]) + splat(x, lanes) * w[v])

    def lane_steps(k: Expr, steps: int) -> None:
        x = [e.let(e.load(a, r * segment.stride + k, steps)) for r in range(rows)]
        for step in range(steps):
            for v, lanes in enumerate(widths):
                w = e.let(e.load(weights, (k + step) * pitch + starts[v], lanes))
                for r in range(rows):
                    element = lane(x[r], step) if steps > 1 else x[r]
                    e.set(sums[r][v], e.get(sums[r][v]) + splat(element, lanes) * w)

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
