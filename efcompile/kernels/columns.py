"""Sums down the rows of a matrix, channels in vectors: the reduction of channels-last data.

Long sums are taken in two levels, as in `reduce`.
"""

from collections.abc import Callable, Sequence

from efcompile.kernels.emit import Emitter, Expr, Register, float32

Load = Callable[[Expr, int, int], Expr]
"""``load(row, start, lanes)``: `lanes` values of a row, `start` columns into the block."""

_ACCUMULATORS = 8
"""Independent sums that cover the latency of an addition."""

_CHUNK = 64
"""Loop iterations that one level of accumulators takes."""


def zeros(e: Emitter, widths: Sequence[int]) -> list[Register]:
    """A register at zero for each vector of a block of columns."""
    return [e.register(lanes, value=float32(0.0, lanes)) for lanes in widths]


def add_to(e: Emitter, totals: Sequence[Register], values: Sequence[Expr]) -> None:
    """``totals += values``, one by one."""
    for total, value in zip(totals, values, strict=True):
        e.set(total, e.get(total) + value)


def column_sums(e: Emitter, rows: int, widths: Sequence[int], load: Load) -> list[Expr]:
    """The sums over `rows` rows of a block of columns, as vectors of `widths`.

    A block of few vectors takes several rows at a time.
    """
    starts = [sum(widths[:v]) for v in range(len(widths))]
    ways = max(1, min(rows, _ACCUMULATORS // len(widths)))
    steps = rows // ways

    def take(sums: Sequence[Register], row: Expr) -> None:
        values = [load(row, start, n) for start, n in zip(starts, widths, strict=True)]
        add_to(e, sums, values)

    def iterate(sums: Sequence[Sequence[Register]], first: Expr, count: int) -> None:
        with e.loop(count, "row") as index:
            row = e.let((index + first) * ways)
            for way in range(ways):
                take(sums[way], row + way)

    totals = [zeros(e, widths) for _ in range(ways)]
    chunks = steps // _CHUNK if steps >= 2 * _CHUNK else 0
    if chunks:
        with e.loop(chunks, "chunk") as chunk:
            partial = [zeros(e, widths) for _ in range(ways)]
            iterate(partial, e.let(chunk * _CHUNK), _CHUNK)
            for total, part in zip(totals, partial, strict=True):
                add_to(e, total, [e.get(register) for register in part])
    if steps > chunks * _CHUNK:
        iterate(totals, chunks * _CHUNK, steps - chunks * _CHUNK)
    for row in range(steps * ways, rows):
        take(totals[row % ways], row)
    for other in totals[1:]:
        add_to(e, totals[0], [e.get(register) for register in other])
    return [e.let(e.get(register)) for register in totals[0]]
