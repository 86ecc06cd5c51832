"""Reductions over contiguous elements: several vector accumulators, then across lanes.

Long sums are taken in two levels, so their rounding error grows with the square root of the
length over many accumulators, as eager's does, and not with the length.
"""

from collections.abc import Callable

from efcompile.kernels.emit import (
    Emitter,
    Expr,
    Register,
    View,
    float32,
    lanes_of,
    select,
    splat,
    square_root,
)
from efcompile.kernels.register_tile import vector_widths

Combine = Callable[[Expr, Expr], Expr]
Load = Callable[[Expr, int], Expr]
"""``load(index, lanes)``: the values to reduce (it may also store something on the way)."""

_ACCUMULATORS = 4
_CHUNK = 64
"""Loop iterations that one level of accumulators takes."""


def add(a: Expr, b: Expr) -> Expr:
    """The sum."""
    return a + b


def larger(a: Expr, b: Expr) -> Expr:
    """`b` where it is larger than `a`, else `a`: a NaN in `b` is passed over."""
    return select(b > a, b, a)


def across(e: Emitter, value: Expr, lanes: int, combine: Combine) -> Expr:
    """`combine` over all lanes of a vector, halving it step by step."""
    value = e.let(value)
    while lanes > 1:
        lanes //= 2
        value = e.let(
            combine(lanes_of(value, range(lanes)), lanes_of(value, range(lanes, 2 * lanes)))
        )
    return value


def reduce(e: Emitter, size: int, lanes: int, load: Load, combine: Combine, initial: float) -> Expr:
    """`combine` over `size` elements from `initial`, its neutral element: a scalar."""
    block = _ACCUMULATORS * lanes
    blocks = size // block
    widths = vector_widths(size % block, lanes)
    used = _ACCUMULATORS if blocks else sum(width == lanes for width in widths)

    def fresh() -> list[Register]:
        return [e.register(lanes, value=float32(initial, lanes)) for _ in range(used)]

    totals = fresh()

    def take(register: Register, value: Expr) -> None:
        e.set(register, e.let(combine(e.get(register), value)))

    def iterate(registers: list[Register], first: Expr, count: int) -> None:
        with e.loop(count, "block") as i:
            start = e.let((i + first) * block)
            for v, register in enumerate(registers):
                take(register, e.let(load(start + v * lanes, lanes)))

    whole = blocks // _CHUNK
    if whole > 1:
        with e.loop(whole, "chunk") as chunk:
            partial = fresh()
            iterate(partial, e.let(chunk * _CHUNK), _CHUNK)
            for total, part in zip(totals, partial, strict=True):
                take(total, e.get(part))
        blocks, first = blocks - whole * _CHUNK, whole * _CHUNK
    else:
        first = 0
    if blocks:
        iterate(totals, first, blocks)
    start = size - size % block
    narrow: list[Expr] = []
    for index, width in enumerate(widths):
        value = e.let(load(start, width))
        if width == lanes:
            take(totals[index], value)
        else:
            narrow.append(across(e, value, width, combine))
        start += width
    result: Expr = float32(initial)
    if totals:
        result = across(e, _tree(e, [e.get(total) for total in totals], combine), lanes, combine)
    for value in narrow:
        result = e.let(combine(result, value))
    return result


def _tree(e: Emitter, values: list[Expr], combine: Combine) -> Expr:
    while len(values) > 1:
        pairs = [e.let(combine(a, b)) for a, b in zip(values[::2], values[1::2], strict=False)]
        values = pairs + values[len(values) // 2 * 2 :]
    return values[0]


def moments(e: Emitter, x: View, size: int, lanes: int, eps: float) -> tuple[Expr, Expr]:
    """The mean of `size` contiguous elements, and 1 / sqrt(variance + eps), the variance taken
    about that mean in a second pass."""
    total = reduce(e, size, lanes, lambda i, n: e.load(x, i, n), add, 0.0)
    mean = e.let(total * float32(1 / size), "mean")

    def squared(index: Expr, width: int) -> Expr:
        centred = e.let(e.load(x, index, width) - splat(mean, width))
        return centred * centred

    variance = reduce(e, size, lanes, squared, add, 0.0) * float32(1 / size)
    return mean, inverse_root(e, variance, eps)


def inverse_root(e: Emitter, variance: Expr, eps: float) -> Expr:
    """``1 / sqrt(variance + eps)``."""
    return e.let(float32(1.0) / square_root(variance + float32(eps)), "scale")
