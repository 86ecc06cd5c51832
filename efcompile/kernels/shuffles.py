"""Moving elements between the lanes of vectors that are already in registers."""

from collections.abc import Sequence

from efcompile.kernels.emit import Emitter, Expr
from efcompile.tvm_api import tirx


def transpose(e: Emitter, rows: Sequence[Expr]) -> list[Expr]:
    """The columns of a square of `rows`: n vectors of n lanes, n a power of two above one.

    4x4 squares go first, inside 128-bit blocks (unpack on x86, zip on NEON: one instruction
    each), then whole blocks change places.
    """
    n = len(rows)
    if n == 2:
        return [_pick(e, rows[0], rows[1], pair) for pair in ([0, 2], [1, 3])]
    moved: list[Expr] = []
    for group in range(0, n, 4):
        a, b, c, d = rows[group : group + 4]
        left = [_blocks(e, a, b, n, half) for half in (_LOW, _HIGH)]
        right = [_blocks(e, c, d, n, half) for half in (_LOW, _HIGH)]
        for p, q in zip(left, right, strict=True):
            moved += [_blocks(e, p, q, n, half) for half in (_FIRST, _SECOND)]
    distance = 4
    while distance < n:
        moved = _exchange(e, moved, distance)
        distance *= 2
    return moved


def interleave(e: Emitter, vectors: Sequence[Expr], lanes: int) -> list[Expr]:
    """``v0[0], v1[0], .., v0[1], v1[1], ..`` as vectors: n vectors of `lanes` in, n out."""
    count = len(vectors)
    out: list[Expr] = []
    for first in range(0, count * lanes, lanes):
        merged = vectors[0]
        for source in range(1, count):
            # Lanes of sources not merged yet take anything: their own position.
            indices = [_merge_lane(first + at, at, source, count, lanes) for at in range(lanes)]
            merged = _pick(e, merged, vectors[source], indices)
        out.append(merged)
    return out


def _merge_lane(position: int, at: int, source: int, count: int, lanes: int) -> int:
    """Lane for output element `position` in (merged so far, vectors[source])."""
    owner, element = position % count, position // count
    if owner == source:
        return lanes + element
    return element if source == 1 and owner == 0 else at


Pattern = tuple[int | None, ...]
_LOW: Pattern = (0, None, 1, None)
_HIGH: Pattern = (2, None, 3, None)
_FIRST: Pattern = (0, 1, None, None)
_SECOND: Pattern = (2, 3, None, None)


def _blocks(e: Emitter, a: Expr, b: Expr, n: int, pattern: Pattern) -> Expr:
    """Two vectors of n lanes shuffled alike in each block of four; `pattern` gives the lanes
    of `a`, and the same lanes of `b` in order fill its gaps."""
    taken = [p for p in pattern if p is not None]
    indices = []
    for block in range(0, n, 4):
        fill = iter(taken)
        indices += [block + p if p is not None else n + block + next(fill) for p in pattern]
    return _pick(e, a, b, indices)


def _exchange(e: Emitter, rows: Sequence[Expr], distance: int) -> list[Expr]:
    """Swap row bit `distance` with lane bit `distance`."""
    n = len(rows)
    out = list(rows)
    for r in range(n):
        if r & distance:
            continue
        a, b = rows[r], rows[r + distance]
        near = [n + x - distance if x & distance else x for x in range(n)]
        far = [n + x if x & distance else x + distance for x in range(n)]
        out[r], out[r + distance] = _pick(e, a, b, near), _pick(e, a, b, far)
    return out


def _pick(e: Emitter, a: Expr, b: Expr, indices: Sequence[int]) -> Expr:
    return e.let(tirx.Shuffle([a, b], list(indices)))
