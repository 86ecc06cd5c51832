"""Talking heads: queries' scores of every head, mixed, made into weights, mixed again.

A few queries at a time go through all of that while they are in the L1 cache.  Mixing is a small
product: the matrix from the left of [heads, keys].
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from efcompile.kernels.attention_bias import BiasPointers
from efcompile.kernels.attention_parts import Carver
from efcompile.kernels.attention_shape import Shape, pitch_of
from efcompile.kernels.emit import Emitter, Expr, View, splat
from efcompile.kernels.register_tile import Tile, choose_tile, vector_widths
from efcompile.kernels.rows import smaller
from efcompile.kernels.segment import Segment
from efcompile.kernels.softmax_group import Rows, group_floats, row_powers, row_tops
from efcompile.kernels.span import Span
from efcompile.kernels.tile import Source, gemm
from efcompile.targets.target import Target


def chunk_of(lanes: int) -> int:
    """Queries that go through each step before the next step: a row's maxima, sums and inverses
    are chains of dependent instructions, and another row's products fill the time (4 % with
    AVX-512, 2 with AVX2).  More would leave L1.  NEON's instructions are as few as can be with
    one."""
    return 1 if lanes <= 4 else 4


@dataclass(frozen=True)
class RowScratch:
    """Of a chunk of queries: a row of every head, the second matrix times the inverses, the
    maxima; and `group_floats`."""

    rows: Rows
    scaled: View
    tops: View
    group: View

    @staticmethod
    def take(scratch: Carver, shape: Shape, lanes: int) -> "RowScratch":
        """Cut from `scratch`."""
        pitch, heads, chunk = pitch_of(shape, lanes), shape.heads, chunk_of(lanes)
        return RowScratch(
            Rows(scratch.take(chunk * heads * pitch), pitch),
            scratch.take(chunk * heads * heads),
            scratch.take(chunk * heads),
            scratch.take(group_floats(lanes)),
        )

    def at(self, e: Emitter, heads: int, query: Expr) -> "RowScratch":
        """That of one query of the chunk."""
        return RowScratch(
            Rows(self.rows.start.at(e.let(query * (heads * self.rows.step))), self.rows.step),
            self.scaled.at(e.let(query * (heads * heads))),
            self.tops.at(e.let(query * heads)),
            self.group,
        )


def mixing_tile(shape: Shape, target: Target) -> Tile:
    """The register tile of the mixing."""
    return choose_tile(shape.heads, pitch_of(shape, target.lanes), target, shape.heads)


def rows_of_heads(
    e: Emitter,
    shape: Shape,
    tile: Tile,
    lines: Rows,
    rows: Expr,
    mix1: View | None,
    bias: Callable[[Expr], BiasPointers],
    mix2: View | None,
    shift: View | None,
    inverses: View,
    scratch: RowScratch,
) -> None:
    """``lines[g] = sum_h mix2[g, h] * softmax(sum_i mix1[h, i] * lines[i] + bias[h]) + shift[g]``
    of `rows` queries, in place; `lines` are the first's, the others' follow.

    Without `mix1` nothing is added either: `lines` have their biases.  Without `mix2` (and
    `shift`, which comes with it) lines are the exponentials, and ``inverses[query, h]`` the
    inverses of their sums.  ``bias(query)`` is at the query and the first head.
    """
    pitch, most = pitch_of(shape, tile.lanes), chunk_of(tile.lanes)
    with e.loop((rows + (most - 1)) // most, "chunk") as chunk:
        first = e.let(chunk * most)

        def each() -> AbstractContextManager[Expr]:
            return e.loop(1 if most == 1 else e.hold(smaller(most, rows - first)), "query")

        def one(query: Expr) -> _Query:
            row = e.let(first + query)
            return _Query(
                e, shape, tile, Rows(lines.start.at(e.let(row * pitch)), lines.step), mix1, mix2,
                inverses.at(e.let(row * shape.heads)), scratch.at(e, shape.heads, query),
            )  # fmt: skip

        with each() as query:
            one(query).mix_before(bias(e.let(first + query)))
        with each() as query:
            one(query).exponentials()
        if mix2 is not None and shift is not None:
            with each() as query:
                one(query).mix_after(shift)


@dataclass(frozen=True)
class _Query:
    """One query's steps."""

    e: Emitter
    shape: Shape
    tile: Tile
    lines: Rows
    mix1: View | None
    mix2: View | None
    inverses: View
    scratch: RowScratch

    @property
    def source(self) -> Rows:
        """What the softmax is of."""
        return self.lines if self.mix1 is None else self.scratch.rows

    @property
    def weights(self) -> Rows:
        """Where its exponentials go."""
        return self.lines if self.mix2 is None else self.scratch.rows

    def mix_before(self, bias: BiasPointers) -> None:
        """Heads mixed, the bias added; the maxima."""
        e, shape, lanes = self.e, self.shape, self.tile.lanes
        if self.mix1 is not None:
            constant = bias.line(e, 0)

            def biased(e: Emitter, head: Expr, column: Expr, width: int) -> Expr:
                return e.load(constant, head * bias.head_step + column, width)

            _mix(e, self.tile, shape, self.mix1, self.lines, self.source, biased)
            if bias.run_time is not None:
                with e.loop(shape.heads, "head") as head:
                    moved = bias.at(e, 0, head, 0)
                    moved.add_at_run_time(e, shape, self.source.at(e, head), 1, lanes)
        tops, group = self.scratch.tops, self.scratch.group
        row_tops(e, self.source, tops, shape.heads, shape.keys, lanes, group)

    def exponentials(self) -> None:
        """The exponentials, the inverses of their sums, and the second matrix times these."""
        e, heads, lanes = self.e, self.shape.heads, self.tile.lanes
        row_powers(
            e, self.source, self.weights, self.scratch.tops, self.inverses, heads,
            self.shape.keys, lanes, self.scratch.group,
        )  # fmt: skip
        if self.mix2 is None:
            return
        for g in range(heads):
            start = 0
            for width in vector_widths(heads, lanes):
                at = g * heads + start
                factor = e.load(self.mix2, at, width) * e.load(self.inverses, start, width)
                e.store(self.scratch.scaled, at, factor, width)
                start += width

    def mix_after(self, shift: View) -> None:
        """Heads mixed again, by the matrix with the inverses in it."""

        def shifted(e: Emitter, head: Expr, column: Expr, width: int) -> Expr:
            return splat(e.load(shift, head), width)

        scaled = self.scratch.scaled
        _mix(self.e, self.tile, self.shape, scaled, self.weights, self.lines, shifted)


def _mix(
    e: Emitter,
    tile: Tile,
    shape: Shape,
    matrix: View,
    x: Rows,
    out: Rows,
    initial: Source,
) -> None:
    """``out[g] = sum_h matrix[g, h] * x[h] + initial`` over rows of scores."""
    heads, pitch = shape.heads, pitch_of(shape, tile.lanes)

    def sink(e: Emitter, head: Expr, column: Expr, width: int, value: Expr) -> None:
        e.store(out.start, head * out.step + column, value, width)

    gemm(
        e, tile, pitch, heads, Span.whole(heads, tile.rows), Span.whole(pitch, tile.panel),
        [Segment(matrix, heads, heads)], x.start, None, sink,
        weight_stride=x.step, initial=initial,
    )  # fmt: skip
