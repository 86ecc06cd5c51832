"""A row of a bilinear resize that doubles the columns, as networks' upsampling does.

Every column of the result lies a quarter of a pixel to one side of a column of the image, so two
of them are made of the same two: ``(3 a + b) / 4`` and ``(a + 3 b) / 4``, one multiply-add each
when the quarter is in the weights of the rows.  The column before waits in scratch, so the image
is read once, where the rows blended first and whole would leave the L1 cache in between.
"""

from collections.abc import Callable

import numpy as np

from efcompile.kernels.activations import VECTOR
from efcompile.kernels.emit import Emitter, Expr, View, float32, splat
from efcompile.kernels.kernel import Array

EachVector = Callable[[Callable[[Expr, int], None]], None]
"""Calls ``code(at, lanes)`` for the vectors that cover a pixel's channels."""


def doubles(first: Array, second: Array, weight: Array, size: int) -> bool:
    """Whether these indices read and weights of the second are the doubling of `size` columns."""
    at = np.arange(2 * size)
    wanted = np.maximum(at - 1, 0) // 2
    return (
        size > 1
        and len(first) == 2 * size
        and np.array_equal(first, wanted)
        and np.array_equal(second, np.minimum(wanted + 1, size - 1))
        and np.array_equal(weight, np.where(at == 0, 0, np.where(at % 2, 0.25, 0.75)))
    )


def doubled_row(
    e: Emitter,
    width: int,
    channels: int,
    act: str,
    each_vector: EachVector,
    lines: list[View],
    down: Expr,
    column_weight: View,
    out: View,
    before: View,
    asks: bool,
) -> None:
    """``out[2 width, channels]`` of two `lines` [width, channels], the second weighing `down`.

    `column_weight` is the operand, of which the first is used: zero.  `before` is
    scratch [channels]: a quarter of the blended column that was last.  With `asks` the result is
    asked for two columns ahead (see `store_ahead`).
    """
    upper = e.let((float32(1.0) - down) * float32(0.25))
    lower = e.let(down * float32(0.25))

    def quarter(index: Expr, lanes: int) -> Expr:
        a, b = (e.let(e.load(line, index, lanes)) for line in lines)
        return e.let(a * splat(upper, lanes) + b * splat(lower, lanes))

    def finish(index: Expr, value: Expr, lanes: int) -> None:
        if asks:
            e.prefetch(out, index + 2 * channels)
        e.store(out, index, VECTOR[act](e, e.let(value), lanes), lanes)

    # As eager, which gives the next column no weight there but reads it: infinity makes NaN.  Of a
    # constant TVM would leave the product out.
    nothing = e.let(e.load(column_weight))

    def leftmost(at: Expr, lanes: int) -> None:
        here, following = quarter(at, lanes), quarter(channels + at, lanes)
        e.store(before, at, here, lanes)
        finish(at, here * float32(4.0, lanes) + following * splat(nothing, lanes), lanes)

    each_vector(leftmost)
    with e.loop(width - 1, "column") as column:
        source, target = e.let((column + 1) * channels), e.let((2 * column + 1) * channels)

        def between(at: Expr, lanes: int) -> None:
            left, right = e.let(e.load(before, at, lanes)), quarter(source + at, lanes)
            e.store(before, at, right, lanes)
            three = float32(3.0, lanes)
            finish(target + at, left * three + right, lanes)
            finish(target + channels + at, right * three + left, lanes)

        each_vector(between)

    def rightmost(at: Expr, lanes: int) -> None:
        value = e.load(before, at, lanes) * float32(4.0, lanes)
        finish((2 * width - 1) * channels + at, value, lanes)

    each_vector(rightmost)
