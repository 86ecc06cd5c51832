"""The register tile of the matrix product: its size, and weights packed for it.

Weights are packed into *panels*: the columns are cut into groups of `Tile.vectors` SIMD
vectors, and a panel holds its columns k-major ([K, width]), so the inner loop streams it.  The
last panel is as narrow as the remainder needs (vectors of halving width), so nothing is padded;
a panel that starts at column c starts at element ``c * K``, whatever the widths.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from efcompile.kernels.kernel import Array
from efcompile.targets.target import Target


@dataclass(frozen=True)
class Tile:
    """A register tile: `rows` x `vectors` accumulators of `lanes`, k unrolled by `unroll`.

    `lane_a` loads A as vectors along k and multiplies by one lane of them (NEON has that in
    the multiply-add); otherwise each A element is broadcast from memory (x86).  With `pairs` half
    of the elements of k are multiplied two at a time, see `pairs`.  With `ask_l2` weights are
    asked for into L2 only, see `prefetch`.
    """

    rows: int
    vectors: int
    lanes: int
    unroll: int
    lane_a: bool
    pairs: bool = False
    ask_l2: bool = False

    @property
    def panel(self) -> int:
        """Columns of a full panel."""
        return self.vectors * self.lanes


def vector_widths(columns: int, lanes: int) -> tuple[int, ...]:
    """`columns` as vectors: as many of `lanes` as fit, then halving widths down to one."""
    widths: list[int] = []
    width = lanes
    while columns:
        widths += [width] * (columns // width)
        columns %= width
        width //= 2
    return tuple(widths)


def pack_panels(weight: Array, panel: int) -> Array:
    """Weights [N, K] -> flat panels of `panel` columns, each [K, width] (the last narrower)."""
    columns = weight.shape[0]
    parts = [weight[c : c + panel].T.ravel() for c in range(0, columns, panel)]
    return np.ascontiguousarray(np.concatenate(parts), dtype=np.float32)


SHORT = 24
"""Elements of k below which a tile's end weighs as much as its sums."""

NEON_UNROLL = 16
"""Steps of k in the body of NEON's loop where rows lie side by side."""

MOST_VECTORS = 6
"""Vectors of the widest tile."""


@lru_cache(maxsize=4096)
def choose_tile(
    m: int,
    n: int,
    target: Target,
    depth: int | None = None,
    steps_ahead: int = 0,
    pairs: bool = False,
    spare: int = 0,
) -> Tile:
    """The tile that covers m x n at the least `cost` within the registers, for a product of
    `depth` elements of k (None: many), with room for the weights of so many steps more; by `pairs`
    if the target gains by them, which then leave `spare` registers.

    x86 cores look so far ahead that the end of one tile goes under the next if a short one has
    no more than 14 sums (measured; 12 is the most that 16 registers allow).
    """
    neon = target.arch == "aarch64"
    pairs = pairs and target.pairs
    short = not neon and depth is not None and depth <= SHORT

    def cached(vectors: int) -> bool:
        """A panel and the next, which is asked for meanwhile, stay in L2."""
        bytes_ = 4 * (depth or 0) * vectors * target.lanes
        return neon or vectors == 1 or bytes_ <= target.l2_bytes // 2

    def rest_vectors(vectors: int) -> int:
        """Of the last panel, which may be more: 28 columns are vectors of 16, 8 and 4."""
        return len(vector_widths(n % (vectors * target.lanes), target.lanes))

    candidates = [
        (rows, vectors)
        for vectors in range(1, min(MOST_VECTORS, -(-n // target.lanes)) + 1)
        for rows in range(1, min(m, target.registers) + 1)
        if in_registers(rows, max(vectors, rest_vectors(vectors)), target, pairs, spare)
        and cached(vectors)
        and not (short and rows * vectors > 14)
        and (rows + 1 + steps_ahead) * vectors <= target.registers
    ]
    rows, vectors = min(candidates, key=lambda c: cost(m, n, c[0], c[1], target, depth, pairs))
    unroll = NEON_UNROLL if neon else 4
    return Tile(rows, vectors, target.lanes, unroll, neon, pairs, target.ask_l2)


def in_registers(
    rows: int, vectors: int, target: Target, pairs: bool = False, spare: int = 0
) -> bool:
    """Whether a tile's sums, weights and elements of A are in registers: of A all that belong to
    a step's rows on NEON, else the one that is broadcast.  Of a pair both are, and two sums,
    and `spare` registers are left."""
    elements = rows if target.arch == "aarch64" else 1
    if pairs:
        return rows * vectors + 2 * vectors + 4 + spare <= target.registers
    return rows * vectors + vectors + elements <= target.registers


_WAIT = 0.02
"""Of a product's cycles, for each tile of its rows, where weights are asked into L2."""

NEON_ROWS = 7
"""Rows of NEON's best tile: with 3 vectors all but one of 32 registers have something to do."""


def cost(
    m: int,
    n: int,
    rows: int,
    vectors: int,
    target: Target,
    depth: int | None,
    pairs: bool = False,
) -> float:
    """Estimated cycles (NEON: instructions) of a step of k for all of m x n.

    Per k step a tile of r rows and v vectors takes at least r * v / 2 cycles of the two
    multiply-add pipes, (r + v) / 2 of the two load ports (never quite kept busy), 32 bytes of
    weights a cycle where a panel does not stay in L1, and 4 of latency (8 sums on two pipes
    hide that in theory only, and fewer than 12 not quite).  On NEON it takes r * v
    multiply-adds, a load for two vectors of weights, and one for four to eight elements of A
    (see `side_by_side`); with fewer than 8 sums it waits for the last step's.  With `pairs` four
    steps take three multiply-adds, one after the other for a sum.
    """

    def neon(rows: int, vectors: int) -> float:
        return max(rows * vectors, 8) + vectors / 2 + rows / 6

    def x86(rows: int, vectors: int) -> float:
        sums = rows * vectors
        multiplies = sums / 2 * (1.08 if sums < 12 else 1) * (0.75 if pairs else 1)
        panel_bytes = 4 * vectors * target.lanes * (depth or 0)
        from_l2 = vectors * target.lanes / 8 if panel_bytes > target.l1_bytes // 2 else 0
        return max(multiplies, 1.1 * (rows + vectors) / 2, from_l2, 4.5)

    step = neon if target.arch == "aarch64" else x86
    # Few rows wait for weights from memory, and the more when they come tile by tile.
    waits = _WAIT * -(-m // rows) if target.ask_l2 and m <= target.registers else 0
    return _cover(m, n, (rows, vectors), target.lanes, step) * (1 + waits)


def _cover(
    m: int, n: int, tile: tuple[int, int], lanes: int, step: Callable[[int, int], float]
) -> float:
    """What m x n costs in tiles of (rows, vectors), remainders included, with `step` for one
    step of k."""
    rows, vectors = tile
    whole, rest = divmod(n, vectors * lanes)
    rest_vectors = len(vector_widths(rest, lanes))
    total = 0.0
    for tile_rows, times in ((rows, m // rows), (m % rows, 1)):
        if tile_rows:
            total += times * whole * step(tile_rows, vectors)
            total += times * (step(tile_rows, rest_vectors) if rest_vectors else 0.0)
    # Fewer, larger tiles win ties: each tile pays for its start, epilogue and k-loop exit.
    return total * (1 + 0.5 / (rows * vectors))
