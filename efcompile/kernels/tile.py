"""The register-tiled matrix product that every heavy kernel is made of.

``C[m, n] = epilogue(sum_k A[m, k] * W[n, k] + bias[n])`` over channels-last A and weights in
panels, see `register_tile`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from efcompile.kernels.activations import VECTOR
from efcompile.kernels.deferred import Beside, Staged, pays
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
from efcompile.kernels.pairs import GROUP, Ends
from efcompile.kernels.prefetch import LINE, Ahead, Prefetch
from efcompile.kernels.register_tile import Tile, vector_widths
from efcompile.kernels.segment import Segment
from efcompile.kernels.side_by_side import SideBySide
from efcompile.kernels.span import Span, guard, is_zero

Sink = Callable[[Emitter, Expr, Expr, int, Expr], None]
"""``sink(e, row, column, lanes, value)`` finishes (activation, residual) and stores a vector."""

Source = Callable[[Emitter, Expr, Expr, int], Expr]
"""``source(e, row, column, lanes)`` is a vector that sums start from."""


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
    sink: Sink | SideBySide,
    stage: View | None = None,
    weight_stride: int | None = None,
    prefetch: Prefetch | None = None,
    initial: Source | None = None,
    beside: bool = True,
    left_sums: View | None = None,
    first_bias: View | None = None,
) -> None:
    """Emit the product for the row tiles of `rows` and the column panels of `panels`.

    `weights` are packed panels, or a matrix [K, columns] with rows `weight_stride` apart.
    With `stage` (scratch of rows * panel floats) a tile's sums are stored there first and the
    sink runs over them in a small loop, or, where that pays and it may, `beside` the next tile's
    products (`deferred`): for epilogues too heavy for the accumulators.
    Sums start from `initial`, by default from the bias or from zero.  For a tile with `pairs`,
    weights and bias are those of `pack_product`, and `left_sums` those of the rows; of a tile's
    first row, which leaves out what is `outside`, the bias is `first_bias`.
    """
    ends = Ends.found(e, tile, columns, bias, left_sums)
    panel = tile.panel
    depth = sum(segment.total for segment in segments)
    tail_rows, tail_columns = rows_total % tile.rows, columns % panel

    def panel_code(column: Expr, widths: tuple[int, ...]) -> None:
        def staged(row: Expr, count: int) -> Staged | None:
            if stage is None or isinstance(sink, SideBySide):
                return None
            return Staged(stage, row, count, column, widths, sink)

        def tile_code(row: Expr, count: int, index: Expr) -> None:
            ahead, before = None, None
            if prefetch is not None:
                share = depth // tile.unroll * prefetch.step(tile.unroll, pitch)
                start = e.let((prefetch.done + index) * share)
                ahead = Ahead(w.at(depth * pitch + start), prefetch.step(tile.unroll, pitch))
            sums = staged(row, count)
            if deferred:
                last = staged(e.let((rows.first + index - 1) * tile.rows), tile.rows)
                assert last is not None
                before = Beside(last, segments[0].steps(tile), _present(index))
            code = _Code(
                tile, column, widths, segments, w, pitch, bias, sink, sums, ahead, initial, before,
                ends, first_bias,
            )  # fmt: skip
            _tile(e, code, row, count)
            if sums is not None and not (deferred and count == tile.rows):
                sums.finish_all(e)

        w = weights.at(column * depth if weight_stride is None else column)
        pitch = sum(widths) if weight_stride is None else weight_stride
        deferred = beside and staged(0, 0) is not None and pays(tile, widths, rows)
        with e.loop(rows.count, "row_tile") as index:
            if not is_zero(rows.count):
                tile_code(e.let((index + rows.first) * tile.rows, "row"), tile.rows, index)
        if tail_rows:
            with guard(e, rows.tail) as needed:
                if needed:
                    tile_code(rows_total - tail_rows, tail_rows, rows.count)
        left = staged(e.let((rows.first + rows.count - 1) * tile.rows), tile.rows)
        if deferred and left is not None and not (tail_rows and rows.tail is True):
            last_is_whole = _present(rows.count)
            if tail_rows and not isinstance(rows.tail, bool):
                last_is_whole = select(rows.tail, int32(0), last_is_whole)
            with e.when(e.let(last_is_whole) == int32(1)):
                left.finish_all(e)

    if not is_zero(panels.count):
        with e.loop(panels.count, "panel") as index:
            column = e.let((index + panels.first) * panel, "column")
            panel_code(column, (tile.lanes,) * tile.vectors)
    if tail_columns:
        with guard(e, panels.tail) as needed:
            if needed:
                panel_code(columns - tail_columns, vector_widths(tail_columns, tile.lanes))


def _present(count: Expr) -> Expr:
    """0 for none, else 1."""
    if isinstance(count, int):
        return int32(min(count, 1))
    return select(count == int32(0), int32(0), int32(1))


@dataclass(frozen=True)
class _Code:
    """What all row tiles of a panel share: it starts at `column`, its vectors have `widths`, and
        its `weights` have `pitch` elements from one k to the next.  Sums go to
        `staged` if there is one; what is `before` is finished beside the first segment's products.
    Sums of pairs have `ends`."""

    tile: Tile
    column: Expr
    widths: tuple[int, ...]
    segments: Sequence[Segment]
    weights: View
    pitch: int
    bias: View | None
    sink: Sink | SideBySide
    staged: Staged | None
    ahead: Ahead | None
    initial: Source | None
    before: Beside | None
    ends: Ends | None
    first_bias: View | None

    @property
    def vectors(self) -> list[tuple[int, int, int]]:
        """The (index, first column, lanes) of each vector of a row."""
        return [(v, sum(self.widths[:v]), lanes) for v, lanes in enumerate(self.widths)]


Sums = list[list[Register]]
"""The accumulators of a tile, by row and vector."""


def _tile(e: Emitter, code: _Code, row: Expr, count: int) -> None:
    """One register tile: `count` rows from `row`."""
    vectors, column = code.vectors, code.column
    initial = [
        float32(0.0, lanes)
        if code.bias is None
        else e.let(e.load(code.bias, column + start, lanes))
        for _, start, lanes in vectors
    ]
    sums = [[e.register(lanes, value=initial[v]) for v, _, lanes in vectors] for _ in range(count)]
    if code.first_bias is not None:
        for v, start, lanes in vectors:
            e.set(sums[0][v], e.load(code.first_bias, column + start, lanes))
    if code.initial is not None:
        for r in range(count):
            for v, start, lanes in vectors:
                e.set(sums[r][v], code.initial(e, row + r, column + start, lanes))
    done, steps = 0, 0
    for segment in code.segments:
        a = segment.a.at(row * segment.stride)
        ahead = None if code.ahead is None else code.ahead.at(steps)
        before = code.before if done == 0 else None
        _runs(e, code, sums, a, segment, code.weights.at(done * code.pitch), ahead, before)
        done += segment.total
        steps += segment.total // segment.depth * (segment.depth // code.tile.unroll)
    if isinstance(code.sink, SideBySide):
        code.sink.store(e, row, column, sums)
        return
    for r in range(count):
        for v, start, lanes in vectors:
            value = e.get(sums[r][v])
            if code.ends is not None:
                value = e.let(code.ends.of(e, row + r, lanes, value))
            if code.staged is None:
                code.sink(e, row + r, column + start, lanes, value)
            else:
                e.store(code.staged.stage, r * sum(code.widths) + start, value, lanes)


def _runs(
    e: Emitter,
    code: _Code,
    sums: Sums,
    a: View,
    segment: Segment,
    weights: View,
    ahead: Ahead | None,
    before: Beside | None,
) -> None:
    """All runs of `segment`, the repeats as loops around one run's code."""
    if not segment.repeats and segment.outside == 0:
        _accumulate(e, code, sums, a, segment, weights, ahead, before)
        return
    if not segment.repeats:
        outside = replace(segment, depth=segment.outside)
        _accumulate(e, code, sums[1:], a.at(segment.stride), outside, weights, ahead, None)
        inside = replace(segment, depth=segment.depth - segment.outside)
        a, weights = a.at(segment.outside), weights.at(segment.outside * code.pitch)
        further = None if ahead is None else ahead.at(segment.outside // code.tile.unroll)
        _accumulate(e, code, sums, a, inside, weights, further, before)
        return
    (count, step), inner = segment.repeats[0], segment.repeats[1:]
    rest = replace(segment, repeats=inner)
    steps = rest.total // rest.depth * (rest.depth // code.tile.unroll)
    first = segment.skipped if not inner else 0
    with e.loop(count - first, "run", first) as run:
        moved = weights.at(run * (rest.total * code.pitch))
        further = None if ahead is None else ahead.at(run * steps)
        done = (run - first) * rest.steps_made(code.tile)
        later = None if before is None else before.after(e.let(done))
        _runs(e, code, sums, a.at(run * step), rest, moved, further, later)


def _accumulate(
    e: Emitter,
    code: _Code,
    sums: Sums,
    a: View,
    segment: Segment,
    weights: View,
    ahead: Ahead | None,
    before: Beside | None,
) -> None:
    """``sums += A[:, segment] @ weights[segment]``."""
    tile, pitch, rows = code.tile, code.pitch, range(len(sums))

    def add(row: int, vector: int, value: Expr) -> None:
        total = sums[row][vector]
        e.set(total, e.get(total) + value)

    def broadcast_step(k: Expr) -> None:
        w = [e.let(e.load(weights, k * pitch + start, lanes)) for _, start, lanes in code.vectors]
        for r in rows:
            x = e.let(e.load(a, r * segment.stride + k))
            for v, _, lanes in code.vectors:
                add(r, v, splat(x, lanes) * w[v])

    def pair_step(k: Expr) -> None:
        w, after = (
            [
                e.let(e.load(weights, (k + i) * pitch + start, lanes))
                for _, start, lanes in code.vectors
            ]
            for i in (0, 1)
        )
        for r in rows:
            x, next_x = (e.let(e.load(a, r * segment.stride + k + i)) for i in (0, 1))
            for v, _, lanes in code.vectors:
                add(r, v, (splat(x, lanes) + after[v]) * (splat(next_x, lanes) + w[v]))

    def lane_steps(k: Expr, steps: int) -> None:
        if segment.side_by_side:
            x = [e.let(e.load(a, k * len(sums) + r * steps, steps)) for r in rows]
        else:
            x = [e.let(e.load(a, r * segment.stride + k, steps)) for r in rows]
        for step in range(steps):
            for v, start, lanes in code.vectors:
                w = e.let(e.load(weights, (k + step) * pitch + start, lanes))
                # Up and down the rows in turn: LLVM then spills less.
                even = (step * len(code.vectors) + v) % 2 == 0
                for r in rows if even else reversed(rows):
                    element = lane(x[r], step) if steps > 1 else x[r]
                    add(r, v, splat(element, lanes) * w)

    def steps(k: Expr, count: int) -> None:
        if not tile.lane_a:
            paired = range(count // GROUP * tile.pairs)
            for group in paired:
                pair_step(k + group * GROUP)
            for step in range(count):
                if step // GROUP not in paired or step % GROUP >= 2:
                    broadcast_step(k + step)
            return
        for start in range(0, count, 4):
            if count - start >= 4:
                lane_steps(k + start, 4)
            else:
                for step in range(start, count):
                    lane_steps(k + step, 1)

    unroll = min(tile.unroll, segment.depth)
    if tile.lane_a and not segment.side_by_side:
        # Rows far apart: LLVM would keep more addresses than there are registers for.
        unroll = min(8, unroll)
    whole = segment.depth // unroll

    def unrolled(k: Expr) -> None:
        if ahead is not None and unroll == tile.unroll:
            for line in range(0, ahead.step, LINE):
                e.prefetch(ahead.view, k * ahead.step + line, l2=tile.ask_l2)
        steps(k * unroll, unroll)

    finished: Expr = 0
    if before is not None:
        finished = before.share(e, whole)
        with e.loop(finished, "k_beside") as k:
            unrolled(k)
            before.finish(e, k)
    with e.loop(whole - finished, "k", finished) as k:
        unrolled(k)
    if segment.depth % unroll:
        steps(int32(whole * unroll), segment.depth % unroll)
