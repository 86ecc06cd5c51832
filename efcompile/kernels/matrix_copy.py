"""Copies of a strided matrix into contiguous rows, transposing in registers where needed."""

from collections.abc import Callable

from efcompile.kernels.emit import Emitter, Expr, View, float32
from efcompile.kernels.register_tile import vector_widths
from efcompile.kernels.shuffles import transpose

Map = Callable[[Expr, int], Expr]
"""``map(value, lanes)`` of each vector on its way."""


def copy_matrix(
    e: Emitter,
    source: View,
    strides: tuple[int, int],
    out: View,
    pitch: int,
    size: tuple[int, int],
    lanes: int,
    change: Map = lambda value, lanes: value,
) -> None:
    """``out[r * pitch + c] = change(source[r * strides[0] + c * strides[1]])`` for `size`
    (rows, columns); the columns from there to `pitch` become zero."""
    rows, columns = size
    side = next((n for n in (16, 8, 4, 2) if n <= min(lanes, rows, columns)), 1)
    if strides[1] == 1 or rows == 1 or columns == 1 or strides[0] != 1 or side == 1:
        _by_rows(e, source, strides, out, pitch, size, lanes, change)
    else:
        _by_squares(e, source, strides[1], out, pitch, size, side, change)
    if pitch > columns:
        with e.loop(rows, "row") as r:
            start = columns
            for width in vector_widths(pitch - columns, lanes):
                e.store(out, r * pitch + start, float32(0.0, width), width)
                start += width


def _by_rows(
    e: Emitter,
    source: View,
    strides: tuple[int, int],
    out: View,
    pitch: int,
    size: tuple[int, int],
    lanes: int,
    change: Map,
) -> None:
    rows, columns = size
    step = lanes if strides[1] == 1 else 1
    with e.loop(rows, "row") as r:
        from_row, to_row = source.at(e.let(r * strides[0])), out.at(e.let(r * pitch))
        whole = columns // step
        if whole:
            with e.loop(whole, "column") as i:
                c = e.let(i * step)
                value = e.load(from_row, c * strides[1], step)
                e.store(to_row, c, change(value, step), step)
        start = whole * step
        for width in vector_widths(columns - start, lanes):
            e.store(to_row, start, change(e.load(from_row, start, width), width), width)
            start += width


def _by_squares(
    e: Emitter,
    source: View,
    stride: int,
    out: View,
    pitch: int,
    size: tuple[int, int],
    side: int,
    change: Map,
) -> None:
    """Squares of `side`; the last ones overlap their neighbours."""
    rows, columns = size

    def square(top: Expr, left: Expr) -> None:
        lines = [e.let(e.load(source, (left + c) * stride + top, side)) for c in range(side)]
        for r, line in enumerate(transpose(e, lines)):
            e.store(out, (top + r) * pitch + left, change(line, side), side)

    def along(extent: int, code: Callable[[Expr], None]) -> None:
        with e.loop(extent // side, "square") as i:
            code(e.let(i * side))
        if extent % side:
            code(extent - side)

    along(rows, lambda top: along(columns, lambda left: square(top, left)))
