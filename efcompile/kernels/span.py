"""Parts of a dimension that is cut into tiles: what one task takes of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from efcompile.kernels.emit import Emitter, Expr, int32, select


@dataclass(frozen=True)
class Span:
    """Whole tiles ``first .. first + count`` of one dimension, then its remainder when `tail`
    (a Python bool if known at build time, else a condition)."""

    first: Expr
    count: Expr
    tail: Expr

    @staticmethod
    def whole(size: int, tile: int) -> "Span":
        """All of a dimension of `size` in tiles of `tile`."""
        return Span(0, size // tile, size % tile != 0)


def share(e: Emitter, index: Expr, parts: int, size: int, total: int) -> Span:
    """Part `index` of `total` whole tiles cut into `parts` of `size`; the last part takes what
    is left and the remainder of the dimension."""
    if parts == 1:
        return Span(0, total, True)
    first = e.let(index * size)
    last = index == int32(parts - 1)
    return Span(first, e.let(select(last, total - first, int32(size))), last)


@contextmanager
def guard(e: Emitter, tail: Expr) -> Iterator[bool]:
    """Yield whether code is needed at all, inside a branch if only run time can tell."""
    if isinstance(tail, bool):
        yield tail
    else:
        with e.when(tail):
            yield True


def is_zero(value: Expr) -> bool:
    """Whether it is known at build time to be nothing."""
    return isinstance(value, int) and value == 0
