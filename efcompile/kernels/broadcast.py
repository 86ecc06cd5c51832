"""Broadcasting of two contiguous operands, as the fewest loops and strides."""

from dataclasses import dataclass
from math import prod

from efcompile.kernels.emit import Emitter, Expr


@dataclass(frozen=True)
class Axis:
    """A dimension of the result, and the operands' strides along it (0: broadcast)."""

    size: int
    a: int
    b: int


def merged_axes(out: tuple[int, ...], a: tuple[int, ...], b: tuple[int, ...]) -> tuple[Axis, ...]:
    """The broadcast of contiguous `a` and `b` to `out`, adjacent axes merged where both
    operands step through them as through one."""
    strides_a, strides_b = _strides(a, len(out)), _strides(b, len(out))
    merged: list[Axis] = []
    for axis in map(Axis, out, strides_a, strides_b):
        if axis.size == 1:
            continue
        if (
            merged
            and _continues(merged[-1].a, axis.a, axis)
            and _continues(merged[-1].b, axis.b, axis)
        ):
            merged[-1] = Axis(merged[-1].size * axis.size, axis.a, axis.b)
        else:
            merged.append(axis)
    return tuple(merged) or (Axis(1, 0, 0),)


def _strides(shape: tuple[int, ...], rank: int) -> list[int]:
    full = (1,) * (rank - len(shape)) + shape
    return [0 if size == 1 else prod(full[i + 1 :]) for i, size in enumerate(full)]


def _continues(outer: int, inner: int, axis: Axis) -> bool:
    return outer == inner * axis.size


def offsets(e: Emitter, axes: tuple[Axis, ...], index: Expr) -> tuple[Expr, Expr]:
    """Where element `index` of the row-major result of `axes` lies in the two operands."""
    start_a: Expr = 0
    start_b: Expr = 0
    for position, axis in reversed(list(enumerate(axes))):
        step = index if position == 0 else e.let(index % axis.size)
        start_a, start_b = start_a + step * axis.a, start_b + step * axis.b
        index = index if position == 0 else e.let(index // axis.size)
    return e.hold(start_a), e.hold(start_b)
