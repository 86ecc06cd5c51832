"""A linear layer in seven products for eight: tasks are panels of a quarter, by blocks of rows.

Tasks go block by block: those of one block that a thread runs share the factors of its rows.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

from efcompile.kernels.balance import even_size
from efcompile.kernels.emit import Emitter, Expr, View, int32
from efcompile.kernels.register_tile import MOST_VECTORS, Tile, choose_tile, in_registers
from efcompile.kernels.spaces import sizes, tile_choices, tile_legal
from efcompile.kernels.span import share
from efcompile.kernels.strassen import (
    LINE,
    Factors,
    Prepare,
    factors_floats,
    fetch_cycles,
    fetched_cycles,
    half,
    multiply,
    plain_cycles,
    quarter_tiles,
    row_blocks,
    split,
    store_quarters,
    sums_floats,
)
from efcompile.targets.target import Target

_MADE, _TAKEN = 14.0, 4.0
"""Cycles that a cache line of A in all its factors, and one of a quarter's sums, takes beyond
`strassen.cycles`: neither is still in L1 when it is wanted again.  A core that shares a block's
products makes the factors for itself."""

_WORTH = 0.975
"""Of the plain product's cycles: more is not worth the room."""


@lru_cache(maxsize=4096)
def choose_plain_tile(m: int, n: int, k: int, target: Target) -> Tile:
    """The tile of a plain product: rather wide on x86 where rows do not stay in L2 from one panel
    to the next (of 1568 x 1024 for 96 columns three vectors take 5 % less than two)."""
    usual = choose_tile(m, n, target, k, pairs=True)
    if usual.lane_a or 4 * m * k <= target.l2_bytes:
        return usual
    tiles = [
        replace(usual, rows=rows, vectors=vectors)
        for vectors in range(1, min(MOST_VECTORS, -(-n // target.lanes)) + 1)
        for rows in range(1, min(m, target.registers) + 1)
        if in_registers(rows, vectors, target, usual.pairs)
    ]

    def cycles(tile: Tile) -> float:
        return plain_cycles(m, n, k, tile, target) + fetch_cycles(m, n, k, tile, target)

    return min(tiles, key=cycles)


@dataclass(frozen=True)
class Product:
    """``[m, k] @ [n, k].T``, the m rows of so many images."""

    images: int
    m: int
    n: int
    k: int

    @property
    def blocks(self) -> tuple[int, ...]:
        """Rows that a block may have."""
        return row_blocks(self.m, self.images, self.n, self.k)


@dataclass(frozen=True)
class Cut:
    """How `product` is cut: the `tile` of a quarter, `rows` of a block, panels of a quarter that
    make one task (the last one of a block may have fewer, and what is no whole panel)."""

    product: Product
    tile: Tile
    rows: int
    task_panels: int

    @property
    def task_row_tiles(self) -> int:
        """Tiles of a block's half."""
        return -(-half(self.rows) // self.tile.rows)

    @property
    def panels(self) -> int:
        """Panels of a quarter, the last one perhaps narrower."""
        return -(-self.product.n // 2 // self.tile.panel)

    @property
    def groups(self) -> int:
        """Tasks of a block."""
        return -(-self.panels // self.task_panels)

    @property
    def tasks(self) -> int:
        """All of them."""
        return self.product.m // self.rows * self.groups

    @property
    def scratch_bytes(self) -> int:
        """The factors of a block's rows, then a panel's products."""
        factors = factors_floats(self.rows, self.product.k)
        return 4 * (factors + sums_floats(self.rows, self.tile))

    def cycles(self, target: Target) -> float:
        """An estimate for the core that has most to do."""
        n, k = self.product.n, self.product.k
        rows = half(self.rows)
        made = _MADE * rows * (k // 2) / LINE
        column = fetched_cycles(self.rows, n, k, self.tile, target) / (n // 2)
        column += _TAKEN * rows / LINE
        width = self.task_panels * self.tile.panel
        each = -(-self.tasks // target.cores)

        def load(begin: int) -> float:
            tasks = range(begin, min(begin + each, self.tasks))
            starts = [task % self.groups * width for task in tasks]
            columns = sum(min(width, n // 2 - start) for start in starts)
            return len({task // self.groups for task in tasks}) * made + columns * column

        return max(load(begin) for begin in range(0, self.tasks, each))

    def pays(self, tile: Tile, tasks: int, target: Target) -> bool:
        """Whether this beats the plain product by `tile` in so many tasks by enough to be worth
        the room that weights take."""
        m, n, k = self.product.m, self.product.n, self.product.k
        # Rows that do not stay in L2 still come in order, a row of tiles for all panels at a time.
        far = 4 * m * k > target.l2_bytes
        at_once = min(m, tile.rows) if far else m
        waits = m / at_once * fetch_cycles(at_once, n, k, tile, target)
        plain = plain_cycles(m, n, k, tile, target) + waits
        return self.cycles(target) < _WORTH * plain * -(-tasks // target.cores) / tasks


def legal_cut(
    product: Product, tile: Tile, task_row_tiles: int, task_panels: int, target: Target
) -> Cut | None:
    """The cut into the largest blocks of so many row tiles, or None if there is none or `tile`
    does not fit a quarter."""
    cuts = [Cut(product, tile, rows, task_panels) for rows in product.blocks if tile.rows >= 1]
    cuts = [cut for cut in cuts if cut.task_row_tiles == task_row_tiles]
    if not (target.strassen and cuts):
        return None
    cut = cuts[-1]
    fits = tile_legal(tile, half(cut.rows), product.n // 2, target, product.k // 2)
    return cut if fits and 1 <= task_panels <= cut.panels else None


def choices(
    product: Product, target: Target, plain: dict[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """The `plain` product's values for `tile`, `task_row_tiles` and `task_panels` with those for
    cuts, and `strassen` itself, if there are any."""
    best = best_cut(product, target)
    if best is None:
        return plain
    tiles = tile_choices("tile", half(best.rows), product.n // 2, target)
    tiles["tile.rows"] = tuple({*tiles["tile.rows"], best.tile.rows})
    halves = {half(rows) for rows in product.blocks}
    values = {
        **tiles,
        "tile.vectors": tuple({*tiles["tile.vectors"], best.tile.vectors}),
        "task_row_tiles": tuple({-(-r // rows) for r in halves for rows in tiles["tile.rows"]}),
        "task_panels": sizes(best.panels, best.task_panels),
    }
    merged = {path: tuple(sorted({*plain[path], *more})) for path, more in values.items()}
    return {**plain, **merged, "strassen": (0, 1)}


@lru_cache(maxsize=4096)
def best_cut(product: Product, target: Target) -> Cut | None:
    """The cut that is estimated to be the fastest, two tasks or more to a core where there are
    panels for them; one whose scratch stays in L2 if any does."""
    if not target.strassen:
        return None

    def rank(cut: Cut) -> tuple[bool, float]:
        return cut.scratch_bytes > target.l2_bytes, cut.cycles(target)

    cuts = [
        _even(Cut(product, tile, rows, 1), target)
        for rows in product.blocks
        for tile in quarter_tiles(rows, product.n, product.k, target)
    ]
    return min(cuts, key=rank, default=None)


def _even(cut: Cut, target: Target) -> Cut:
    """`cut` with as many panels to a task as leave every core two tasks, and equal ones."""
    blocks = cut.product.m // cut.rows
    most = cut.panels // -(-2 * target.cores // blocks)
    return replace(cut, task_panels=even_size(cut.panels, most, target.cores, blocks))


def emit(
    e: Emitter,
    cut: Cut,
    operands: tuple[View, View, View | None, View | None],
    out: View,
    scratch: View,
    tasks: tuple[Expr, Expr],
    act: str,
    prefetch: bool,
    prepare: Prepare | None = None,
) -> None:
    """Tasks from the first to below the last: ``act(x @ weight.T + bias) + residual``, x's rows
    finished by `prepare`; the operands in that order, the weight of `pack_factors`."""
    x, weight, bias, residual = operands
    product, rows, groups = cut.product, cut.rows, cut.groups
    factors = Factors(scratch, rows, product.k)
    sums = scratch.at(factors_floats(rows, product.k))
    whole_panels = product.n // 2 // cut.tile.panel
    begin, end = tasks
    with e.loop(end - begin, "task", begin) as task:
        block, group = e.let(task // groups), e.let(task % groups)
        first = e.let(block * rows)
        with e.when((group == int32(0)) | (task == begin)):
            split(e, x.at(e.let(first * product.k)), factors, cut.tile.lanes, prepare)
        result = e.let(first * product.n)
        rest = None if residual is None else residual.at(result)
        sink = store_quarters(rows, product.n, out.at(result), bias, act, rest)
        panels = share(e, group, groups, cut.task_panels, whole_panels)
        multiply(e, cut.tile, product.n, factors, weight, sums, sink, prefetch, panels)
