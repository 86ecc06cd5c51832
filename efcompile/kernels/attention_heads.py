"""Talking heads: one query's scores of every head, mixed, made into weights, mixed again.

The row of a query goes through all of that while it is in the L1 cache.  Mixing is a small
product: the matrix from the left of [heads, keys].
"""

from dataclasses import dataclass

from efcompile.kernels.attention_bias import BiasPointers
from efcompile.kernels.attention_parts import Carver
from efcompile.kernels.attention_shape import Shape, pitch_of
from efcompile.kernels.emit import Emitter, Expr, View, splat
from efcompile.kernels.register_tile import Tile, choose_tile, vector_widths
from efcompile.kernels.softmax_group import Rows, group_floats, softmax_rows
from efcompile.kernels.span import Span
from efcompile.kernels.tile import Segment, Source, gemm
from efcompile.targets.target import Target


@dataclass(frozen=True)
class RowScratch:
    """A row of every head, the second matrix times the inverses, and `group_floats`."""

    rows: Rows
    scaled: View
    group: View

    @staticmethod
    def take(scratch: Carver, shape: Shape, lanes: int) -> "RowScratch":
        """Cut from `scratch`."""
        pitch = pitch_of(shape, lanes)
        return RowScratch(
            Rows(scratch.take(shape.heads * pitch), pitch),
            scratch.take(shape.heads * shape.heads),
            scratch.take(group_floats(lanes)),
        )


def mixing_tile(shape: Shape, target: Target) -> Tile:
    """The register tile of the mixing."""
    return choose_tile(shape.heads, pitch_of(shape, target.lanes), target, shape.heads)


def row_of_heads(
    e: Emitter,
    shape: Shape,
    tile: Tile,
    lines: Rows,
    mix1: View | None,
    bias: BiasPointers,
    mix2: View | None,
    shift: View | None,
    inverses: View,
    scratch: RowScratch,
) -> None:
    """``lines[g] = sum_h mix2[g, h] * softmax(sum_i mix1[h, i] * lines[i] + bias[h]) + shift[g]``
    of one query, in place.

    Without `mix1` nothing is added either: `lines` have their biases.  Without `mix2` (and
    `shift`, which comes with it) lines are the exponentials, and ``inverses[h]`` the inverses of
    their sums.  `bias` is at the query and the first head.
    """
    heads, lanes, source = shape.heads, tile.lanes, lines
    if mix1 is not None:
        source, constant = scratch.rows, bias.line(e, 0)

        def biased(e: Emitter, head: Expr, column: Expr, width: int) -> Expr:
            return e.load(constant, head * bias.head_step + column, width)

        _mix(e, tile, heads, pitch_of(shape, lanes), mix1, lines, source, biased)
        if bias.run_time is not None:
            with e.loop(heads, "head") as head:
                moved = bias.at(e, 0, head, 0)
                moved.add_at_run_time(e, shape, source.at(e, head), 1, lanes)
    weights = lines if mix2 is None else scratch.rows
    softmax_rows(e, source, weights, inverses, heads, shape.keys, lanes, scratch.group)
    if mix2 is None or shift is None:
        return
    for g in range(heads):
        start = 0
        for width in vector_widths(heads, lanes):
            factor = e.load(mix2, g * heads + start, width) * e.load(inverses, start, width)
            e.store(scratch.scaled, g * heads + start, factor, width)
            start += width

    def shifted(e: Emitter, head: Expr, column: Expr, width: int) -> Expr:
        return splat(e.load(shift, head), width)

    _mix(e, tile, heads, pitch_of(shape, lanes), scratch.scaled, weights, lines, shifted)


def _mix(
    e: Emitter,
    tile: Tile,
    heads: int,
    pitch: int,
    matrix: View,
    x: Rows,
    out: Rows,
    initial: Source,
) -> None:
    """``out[g] = sum_h matrix[g, h] * x[h] + initial`` over rows of `pitch`."""

    def sink(e: Emitter, head: Expr, column: Expr, width: int, value: Expr) -> None:
        e.store(out.start, head * out.step + column, value, width)

    gemm(
        e, tile, pitch, heads, Span.whole(heads, tile.rows), Span.whole(pitch, tile.panel),
        [Segment(matrix, heads, heads)], x.start, None, sink,
        weight_stride=x.step, initial=initial,
    )  # fmt: skip
