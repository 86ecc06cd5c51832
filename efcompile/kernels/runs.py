"""Copying and filling runs of consecutive elements, vectorised, for kernels that move data."""

from collections.abc import Callable

from efcompile.kernels.emit import Emitter, Expr, View, splat
from efcompile.kernels.register_tile import vector_widths
from efcompile.kernels.span import Span

GROUP = 4
"""Vectors moved per step of a loop: enough independent loads to cover their latency."""

STORAGE = {
    "float32": "float32",
    "float64": "int64",
    "float16": "int16",
    "int64": "int64",
    "int32": "int32",
    "int16": "int16",
    "int8": "uint8",
    "uint8": "uint8",
    "bool": "uint8",
}
"""dtype -> the dtype a copy moves it as (same size)."""


def over_span(
    e: Emitter, count: int, unit: int, span: Span, move: Callable[[Expr, int], None]
) -> None:
    """Call ``move(at, size)`` for the whole units of `span` of a run of `count` elements
    (size is `unit`), and at the span's tail for what remains of the run (size below `unit`)."""
    if not (isinstance(span.count, int) and span.count == 0):
        with e.loop(span.count, "group") as group:
            move(e.let((group + span.first) * unit), unit)
    rest = count % unit
    if rest == 0 or span.tail is False:
        return
    if span.tail is True:
        move(count - rest, rest)
    else:
        with e.when(span.tail):
            move(count - rest, rest)


def copy_run(e: Emitter, out: View, source: View, count: int, lanes: int) -> None:
    """``out[:count] = source[:count]``; the two must not overlap."""
    copy_span(e, out, source, count, Span.whole(count, GROUP * lanes), lanes)


def copy_span(e: Emitter, out: View, source: View, count: int, span: Span, lanes: int) -> None:
    """The part `span` (in units of ``GROUP * lanes`` elements) of a run of `count`."""

    def move(at: Expr, size: int) -> None:
        parts = pieces(size, lanes)
        values = [e.let(e.load(source, at + start, width)) for start, width in parts]
        for (start, width), value in zip(parts, values, strict=True):
            e.store(out, at + start, value, width)

    over_span(e, count, GROUP * lanes, span, move)


def fill_run(e: Emitter, out: View, value: Expr, count: int, lanes: int) -> None:
    """``out[:count] = value``, a scalar."""
    fill_span(e, out, value, count, Span.whole(count, GROUP * lanes), lanes)


def fill_span(e: Emitter, out: View, value: Expr, count: int, span: Span, lanes: int) -> None:
    """The part `span` (in units of ``GROUP * lanes`` elements) of `count` equal elements."""

    def move(at: Expr, size: int) -> None:
        for start, width in pieces(size, lanes):
            e.store(out, at + start, splat(value, width), width)

    over_span(e, count, GROUP * lanes, span, move)


def pieces(size: int, lanes: int) -> list[tuple[int, int]]:
    """(start, width) of the vectors that cover `size` elements."""
    widths = vector_widths(size, lanes)
    return [(sum(widths[:i]), width) for i, width in enumerate(widths)]
