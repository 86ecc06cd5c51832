"""What the spaces of knobs have in common: values worth trying, and which go together.

A kernel's `legal` must hold for its default knobs, refuse whatever `build` would get wrong, and
keep out what is not worth a trial: tiles that are estimated to be far slower than the default's,
fewer tasks than the cores want, and knobs that change nothing where they are (each such vector
would be measured twice).
"""

from efcompile.kernels.prefetch import Prefetch
from efcompile.kernels.register_tile import (
    MOST_VECTORS,
    NEON_UNROLL,
    Tile,
    choose_tile,
    cost,
    in_registers,
)
from efcompile.kernels.side_by_side import LANES, fits
from efcompile.kernels.stencil import Axis, choose_pixels, pixels_in_registers, row_cost
from efcompile.targets.target import Target

ONE_PRODUCT, TWO_PRODUCTS = 1.25, 1.12
"""How much slower than the default's a tile may look: the estimate is about that far off (it
knows neither the epilogue nor what LLVM makes of a tile).  Where two tiles are chosen together,
the second keeps their pairs few."""

_STENCIL = 1.3
"""The same for a stencil's tile."""

_UNROLLS = {"x86_64": (4, 8), "aarch64": (8, 16, 32)}


def unroll_choices(name: str, target: Target, copies: bool = False) -> dict[str, tuple[int, ...]]:
    """Values for the unrolling of k of the `Tile` at `name`: fewer branches for more code.

    On NEON it is a choice with `copies` only (rows may lie side by side): else it is capped.
    """
    return {f"{name}.unroll": _UNROLLS[target.arch]} if copies or target.arch == "x86_64" else {}


def pair_choices(name: str, target: Target) -> dict[str, tuple[int, ...]]:
    """Values of `pairs` of the `Tile` at `name`, where the target gains by them."""
    return {f"{name}.pairs": (0, 1)} if target.pairs else {}


def prefetch_choices(target: Target, copies: bool = False) -> dict[str, tuple[int, ...]]:
    """Values of `prefetch`, as far as it is a choice: on NEON it goes with rows side by side."""
    return {"prefetch": (0, 1)} if copies or target.arch == "x86_64" else {}


def tile_choices(
    name: str, m: int, n: int, target: Target, slack: float = ONE_PRODUCT
) -> dict[str, tuple[int, ...]]:
    """Values for rows and vectors of the `Tile` at `name` of a product of m rows and n columns.

    A tall tile reads weights seldom, a wide one A; together they need enough sums to keep the
    multiply-add pipes busy.
    """
    rows = range(1, min(m, target.registers) + 1)
    vectors = range(1, min(MOST_VECTORS, -(-n // target.lanes)) + 1)
    best = choose_tile(m, n, target)
    close = [
        (r, v)
        for v in vectors
        for r in rows
        if in_registers(r, v, target) and _close(m, n, r, v, best, target, None, slack)
    ]
    return {
        f"{name}.rows": tuple(sorted({r for r, _ in close})),
        f"{name}.vectors": tuple(sorted({v for _, v in close})),
    }


def tile_legal(
    tile: Tile,
    m: int,
    n: int,
    target: Target,
    depth: int | None = None,
    slack: float = ONE_PRODUCT,
    pairs: bool = False,
    spare: int = 0,
) -> bool:
    """Whether a product of m rows, n columns and `depth` elements of k (None: many) can be made
    of tiles like this one, and is nearly as fast as of `choose_tile`'s: within `slack` times.
    A kernel that can multiply `pairs` says so, and how many registers its tiles of them leave."""
    usual = choose_tile(m, n, target, depth, pairs=tile.pairs, spare=spare) if m >= 1 else tile
    return (
        tile.lanes == target.lanes
        and tile.lane_a == (target.arch == "aarch64")
        and 1 <= tile.rows <= m
        and 1 <= tile.vectors <= -(-n // target.lanes)
        and tile.unroll in _UNROLLS[target.arch]
        and tile.pairs <= (pairs and target.pairs)
        and in_registers(tile.rows, tile.vectors, target, tile.pairs)
        and _close(m, n, tile.rows, tile.vectors, usual, target, depth, slack)
    )


def _close(
    m: int,
    n: int,
    rows: int,
    vectors: int,
    best: Tile,
    target: Target,
    depth: int | None,
    slack: float,
) -> bool:
    least = cost(m, n, best.rows, best.vectors, target, depth, best.pairs)
    return cost(m, n, rows, vectors, target, depth, best.pairs) <= slack * least


def aside_legal(tile: Tile, *depths: int) -> bool:
    """Whether rows of those depths can lie side by side for products by `tile`: only NEON's read
    them so, by whole vectors."""
    return tile.lane_a and tile.unroll % LANES == 0 and all(map(fits, depths))


def pixel_choices(axis: Axis, registers: int) -> tuple[int, ...]:
    """Pixels of a stencil's tile: many share loads and weights, few waste less at a row's end."""
    usual = choose_pixels(axis, registers)
    fast = pixels_in_registers(axis, registers)
    return tuple(p for p in fast if p == usual or pixels_legal(p, axis, registers))


def pixels_legal(pixels: int, axis: Axis, registers: int) -> bool:
    """Whether a tile of so many pixels fits into the registers and is nearly as fast as
    `choose_pixels`'."""
    least = row_cost(axis, choose_pixels(axis, registers))
    fast = pixels_in_registers(axis, registers)
    return pixels in fast and row_cost(axis, pixels) <= _STENCIL * least


def unroll_legal(tile: Tile, side_by_side: bool) -> bool:
    """Whether `tile.unroll` is not turned where it is capped to the same."""
    return tile.unroll == NEON_UNROLL or side_by_side or not tile.lane_a


def prefetch_legal(
    wanted: bool, default: bool, rows: int, columns: int, tile: Tile, side_by_side: bool = False
) -> bool:
    """Whether asking for weights ahead is chosen where it can be done, and else left as it is."""
    done = side_by_side or not tile.lane_a
    return wanted == default or (done and Prefetch.over(rows, columns, tile) is not None)


def sizes(total: int, default: int) -> tuple[int, ...]:
    """How many of `total` equal pieces could make a task: even divisions, half as fine from one
    to the next or finer, within a factor of four of the `default`."""
    parts = {base << power for base in (2, 3) for power in range(12)} | {1}
    even = {-(-total // count) for count in parts} | {default}
    return tuple(s for s in sorted(even) if s >= 1 and default <= 4 * s <= 16 * default)


def tasks_legal(tasks: int, default_tasks: int, target: Target) -> bool:
    """Whether so many tasks keep all cores busy, or at least as well as the default's."""
    return tasks >= min(default_tasks, 2 * target.cores)


def scratch_legal(scratch_bytes: int, default_bytes: int, target: Target) -> bool:
    """Whether a thread's scratch stays in the L2 cache, or is not more than the default's."""
    return scratch_bytes <= max(default_bytes, target.l2_bytes)
