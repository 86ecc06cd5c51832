"""The softmax of many short rows: their maxima and sums are taken across lanes together.

A row of its own takes log2(lanes) dependent steps across lanes, twice, and a division.  Eight
rows side by side take a third of the instructions, and the exponentials of one need not wait for
the steps of another.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

from efcompile.kernels.emit import Emitter, Expr, Register, View, float32, lanes_of, splat
from efcompile.kernels.exponential import weight_exp
from efcompile.kernels.reduce import Combine, add, larger
from efcompile.kernels.register_tile import vector_widths
from efcompile.tvm_api import tirx

_MOST = 8
"""Rows of a group."""

_ACCUMULATORS = 4


@dataclass(frozen=True)
class Rows:
    """Rows `step` elements apart."""

    start: View
    step: int

    def at(self, e: Emitter, row: Expr) -> View:
        """The row of that number."""
        return self.start.at(e.let(row * self.step))


def group_floats(lanes: int) -> int:
    """Scratch for a group."""
    return (_MOST + 1) * lanes


def softmax_rows(
    e: Emitter,
    x: Rows,
    out: Rows,
    inverses: View,
    rows: int,
    columns: int,
    lanes: int,
    scratch: View,
) -> None:
    """``out[row] = exp(x[row] - max)`` and ``inverses[row] = 1 / sum`` of `columns` elements.

    Rows are read and written in whole vectors: `out`, which may be `x`, is 0 in what lies behind
    the columns, whatever is there in `x`.  A NaN or +inf in the row, or nothing but -inf, makes
    the sum NaN.  `scratch` has `group_floats`.
    """
    for group, start in _groups(e, rows, columns, lanes):
        tops = scratch.at(_MOST * lanes)
        source = Rows(x.at(e, start), x.step)
        group.write_tops(source, tops, scratch)
        target = Rows(out.at(e, start), out.step)
        group.write_powers(source, target, tops, inverses.at(start), scratch)


def row_tops(
    e: Emitter, x: Rows, tops: View, rows: int, columns: int, lanes: int, scratch: View
) -> None:
    """``tops[row] = max(x[row])``: the first step of `softmax_rows`, for who has something else
    to do before the second."""
    for group, start in _groups(e, rows, columns, lanes):
        group.write_tops(Rows(x.at(e, start), x.step), tops.at(start), scratch)


def row_powers(
    e: Emitter,
    x: Rows,
    out: Rows,
    tops: View,
    inverses: View,
    rows: int,
    columns: int,
    lanes: int,
    scratch: View,
) -> None:
    """The second step, by the `tops` of the first."""
    for group, start in _groups(e, rows, columns, lanes):
        moved = Rows(x.at(e, start), x.step), Rows(out.at(e, start), out.step)
        group.write_powers(*moved, tops.at(start), inverses.at(start), scratch)


def _groups(e: Emitter, rows: int, columns: int, lanes: int) -> Iterator[tuple["_Group", Expr]]:
    """The groups that `rows` are cut into and the first row of each, those of one size inside a
    loop."""
    vectors = -(-columns // lanes)
    first = 0
    for size in sorted(set(vector_widths(rows, min(_MOST, lanes))), reverse=True):
        times = vector_widths(rows, min(_MOST, lanes)).count(size)
        with e.loop(times, "group") as index:
            start = e.let(index * size + first)
            yield _Group(e, size, columns, vectors, lanes), start
        first += size * times


@dataclass(frozen=True)
class _Group:
    """`rows` rows; scratch, where it is given, is a vector of each."""

    e: Emitter
    rows: int
    columns: int
    vectors: int
    lanes: int

    def write_tops(self, x: Rows, tops: View, scratch: View) -> None:
        """The maximum of each row."""
        e, lanes = self.e, self.lanes
        with e.loop(self.rows, "row") as row:
            line = x.at(e, row)
            top = self._along(lambda v, last: self._vector(line, v, last), larger)
            e.store(scratch, e.let(row * lanes), top, lanes)
        e.store(tops, 0, self._across(scratch, larger), self.rows)

    def write_powers(self, x: Rows, out: Rows, tops: View, inverses: View, scratch: View) -> None:
        """The exponentials of each row, and the inverse of their sum."""
        e, lanes = self.e, self.lanes
        with e.loop(self.rows, "row") as row:
            source, target = x.at(e, row), out.at(e, row)
            highest = e.let(splat(e.load(tops, row), lanes))

            def power(vector: Expr, last: bool) -> Expr:
                shifted = e.let(self._vector(source, vector, last) - highest)
                value = e.let(weight_exp(e, shifted, lanes))
                e.store(target, vector * lanes, value, lanes)
                return value

            e.store(scratch, e.let(row * lanes), self._along(power, add), lanes)
        e.store(inverses, 0, float32(1.0, self.rows) / self._across(scratch, add), self.rows)

    def _vector(self, view: View, vector: Expr, last: bool) -> Expr:
        value = self.e.load(view, vector * self.lanes, self.lanes)
        return self._masked(value) if last else value

    def _masked(self, value: Expr) -> Expr:
        """The last vector of a row with -inf behind the columns."""
        valid = self.columns - (self.vectors - 1) * self.lanes
        if valid == self.lanes:
            return value
        indices = [i if i < valid else self.lanes + i for i in range(self.lanes)]
        return tirx.Shuffle([value, float32(-inf, self.lanes)], indices)

    def _along(self, value: Callable[[Expr, bool], Expr], combine: Combine) -> Expr:
        """`combine` over a row's vectors ``value(vector, whether it is the last)``."""
        e, vectors = self.e, self.vectors
        used = min(_ACCUMULATORS, vectors)
        last = vectors - 1

        def take(register: Register, one: Expr) -> None:
            e.set(register, e.let(combine(e.get(register), one)))

        totals = [e.register(self.lanes, value=value(v, v == last)) for v in range(used)]
        rounds = (vectors - 1) // used - 1  # the last vector has code of its own
        if rounds > 0:
            with e.loop(rounds, "block") as block:
                start = e.let((block + 1) * used)
                for v, register in enumerate(totals):
                    take(register, e.let(value(start + v, False)))
        for v in range((max(rounds, 0) + 1) * used, vectors):
            take(totals[v % used], e.let(value(v, v == last)))
        left = [e.get(total) for total in totals]
        while len(left) > 1:
            pairs = [e.let(combine(a, b)) for a, b in zip(left[::2], left[1::2], strict=False)]
            left = pairs + left[len(left) // 2 * 2 :]
        return left[0]

    def _across(self, scratch: View, combine: Combine) -> Expr:
        """`combine` over the lanes of each row's vector in scratch: a vector of the rows."""
        e, lanes = self.e, self.lanes
        vectors = [e.let(e.load(scratch, r * lanes, lanes)) for r in range(self.rows)]
        return across_rows(e, vectors, lanes, combine)


def across_rows(e: Emitter, vectors: Sequence[Expr], lanes: int, combine: Combine) -> Expr:
    """`combine` over the lanes of each of n vectors: a vector of n (a power of two <= `lanes`).

    Each step halves what is left of a row, and puts two vectors' into one.
    """
    # What each vector holds: the row of every lane.
    held = [(vector, [row] * lanes) for row, vector in enumerate(vectors)]
    while len(held) > 1:
        pairs = zip(held[::2], held[1::2], strict=True)
        held = [_merge(e, a, b, lanes, combine) for a, b in pairs]
    value, rows = held[0]
    while len(rows) > len(vectors):
        value, rows = _halve(e, value, rows, combine)
    order = [rows.index(row) for row in range(len(rows))]
    return value if order == sorted(order) else e.let(lanes_of(value, order))


_Held = tuple[Expr, list[int]]


def _merge(e: Emitter, a: _Held, b: _Held, lanes: int, combine: Combine) -> _Held:
    """Halves of every row of two vectors, put together block of 128 bits by block."""
    run = lanes // len(set(a[1]))
    block = lanes if run > 4 else 4
    sides: tuple[list[int], list[int]] = ([], [])
    rows: list[int] = []
    for start in range(0, lanes, block):
        for base, (_, owners) in ((0, a), (lanes, b)):
            for first in range(start, start + block, run):
                for side, offset in zip(sides, (0, run // 2), strict=True):
                    side += [base + first + offset + i for i in range(run // 2)]
                rows += owners[first : first + run // 2]
    low, high = (e.let(tirx.Shuffle([a[0], b[0]], side)) for side in sides)
    return e.let(combine(low, high)), rows


def _halve(e: Emitter, value: Expr, rows: list[int], combine: Combine) -> _Held:
    """Halves of every row of one vector, as a shorter one, its rows in order."""
    order = sorted(set(rows))
    half = len(rows) // len(order) // 2
    places = [[i for i, row in enumerate(rows) if row == wanted] for wanted in order]
    low, high = (
        lanes_of(value, [i for place in places for i in place[start : start + half]])
        for start in (0, half)
    )
    return e.let(combine(low, high)), [row for row in order for _ in range(half)]
