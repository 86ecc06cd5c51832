"""The offset planner: every intermediate tensor gets a place in one arena.

Two buffers may share bytes only if no call needs both.  Finding the smallest arena is
NP-hard; a handful of greedy placements is tried and the smallest result kept, which stops
early when one reaches the lower bound (the most bytes alive at any one call).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from efcompile.lowering.program import ALIGNMENT


@dataclass(frozen=True)
class _Block:
    """A buffer to place: `size` is rounded up to `ALIGNMENT`; `first` and `last` are calls."""

    name: str
    size: int
    first: int
    last: int

    def meets(self, other: "_Block") -> bool:
        return self.first <= other.last and other.first <= self.last


def plan(
    sizes: dict[str, int], intervals: dict[str, tuple[int, int]]
) -> tuple[dict[str, int], int]:
    """Byte offsets (multiples of `ALIGNMENT`) for every buffer, and the arena's total bytes.

    `sizes` are in bytes.  `intervals` maps each buffer to the indices of the call that writes
    it first and of the last call that touches it, both inclusive: an input and an output of
    one call never share bytes.  Raises `ValueError` when the two name different buffers or an
    interval ends before it starts.
    """
    if sizes.keys() != intervals.keys():
        odd = ", ".join(sorted(sizes.keys() ^ intervals.keys()))
        raise ValueError(f"sizes and intervals must name the same buffers; they differ in {odd}")
    for name, (first, last) in intervals.items():
        if last < first:
            raise ValueError(f"buffer {name!r} ends at call {last}, before it starts at {first}")
    blocks = [_Block(name, _aligned(size), *intervals[name]) for name, size in sizes.items()]
    bound = _lower_bound(blocks)
    best: tuple[dict[str, int], int] | None = None
    for offsets in _candidates(blocks, bound):
        total = max((offsets[b.name] + b.size for b in blocks), default=0)
        if best is None or total < best[1]:
            best = offsets, total
        if total == bound:
            break
    assert best is not None
    return best


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _lower_bound(blocks: Sequence[_Block]) -> int:
    """The most bytes alive at once; it is reached where some block begins."""
    alive = (sum(b.size for b in blocks if b.first <= at.first <= b.last) for at in blocks)
    return max(alive, default=0)


def _candidates(blocks: list[_Block], bound: int) -> Iterator[dict[str, int]]:
    # Chains are optimal with both ends; branches usually with the large blocks first.
    yield _from_both_ends(blocks, bound, near=True)
    yield _from_both_ends(blocks, bound, near=False)
    orders: tuple[Callable[[_Block], tuple[int, int]], ...] = (
        lambda b: (-b.size, b.first),
        lambda b: (-b.size * (b.last - b.first + 1), b.first),
        lambda b: (-(b.last - b.first), -b.size),
        lambda b: (b.first, -b.size),
    )
    for order in orders:
        yield _lowest_gap(sorted(blocks, key=order))


def _lowest_gap(blocks: Sequence[_Block]) -> dict[str, int]:
    """Place in the given order, each block into the smallest gap that holds it."""
    placed: dict[_Block, int] = {}
    for block in blocks:
        gaps = [gap for gap in _gaps(block, placed, None) if gap[1] >= block.size]
        placed[block] = min(gaps, key=lambda gap: (gap[1], gap[0]))[0]
    return {block.name: offset for block, offset in placed.items()}


def _from_both_ends(blocks: Sequence[_Block], ceiling: int, near: bool) -> dict[str, int]:
    """Place in order of definition, alternating between the bottom and just under `ceiling`;
    what does not fit below it goes to the lowest place that is free.

    With `near` the lower blocks lie just under the upper ones instead: what a smaller block takes
    of a larger one's place is then its end, which was read last and is still in the cache.
    """
    placed: dict[_Block, int] = {}
    low = True
    for block in sorted(blocks, key=lambda b: (b.first, -b.size)):
        inside = [g for g in _gaps(block, placed, ceiling) if g[1] >= block.size]
        if inside and low:
            start, length = inside[0]
            under = near and start + length < ceiling
            placed[block] = start + length - block.size if under else start
        elif inside:
            placed[block] = inside[-1][0] + inside[-1][1] - block.size
        else:
            placed[block] = next(g[0] for g in _gaps(block, placed, None) if g[1] >= block.size)
        low = not low
    return {block.name: offset for block, offset in placed.items()}


def _gaps(
    block: _Block, placed: dict[_Block, int], ceiling: int | None
) -> Iterator[tuple[int, int]]:
    """The free (offset, length) runs while `block` lives, bottom up; the last one reaches to
    `ceiling`, or has no end."""
    free = 0
    taken = sorted((offset, b.size) for b, offset in placed.items() if b.meets(block))
    for offset, size in taken:
        if offset > free:
            yield free, offset - free
        free = max(free, offset + size)
    if ceiling is None:
        yield free, _ENDLESS
    elif ceiling > free:
        yield free, ceiling - free


_ENDLESS = 1 << 62
