"""The pointwise MLP: both products of a block of rows in one go, its hidden rows in the cache.

Large blocks are multiplied by `strassen` where the target allows it, see `mlp_strassen`.
"""

from dataclasses import dataclass

from efcompile.kernels import mlp_strassen
from efcompile.kernels.activations import CHEAP
from efcompile.kernels.deferred import spare_registers
from efcompile.kernels.emit import Emitter, Expr, View, int32
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.mlp_shape import Shape, plain, shape_of
from efcompile.kernels.pairs import pack_product, result_rms, store_left_sums
from efcompile.kernels.prefetch import Prefetch
from efcompile.kernels.register_tile import NEON_ROWS, Tile, choose_tile
from efcompile.kernels.segment import Segment
from efcompile.kernels.side_by_side import SideBySide, fits, lay_side_by_side, own_base
from efcompile.kernels.spaces import (
    TWO_PRODUCTS,
    aside_legal,
    pair_choices,
    prefetch_choices,
    prefetch_legal,
    scratch_legal,
    tasks_legal,
    tile_choices,
    tile_legal,
    unroll_legal,
)
from efcompile.kernels.span import Span
from efcompile.kernels.strassen import choose_quarter_tile, cycles, half, plain_cycles
from efcompile.kernels.tile import Sink, gemm, store_epilogue
from efcompile.targets.target import Target


@dataclass(frozen=True)
class Knobs:
    """The tiles of the two products, the rows of a block, which is a task, whether both read
    their rows `side_by_side` (the tiles are equally high then), whether their weights are
    asked for a panel ahead, and whether both are cut into quarters (`strassen`; the tiles are
    those of a quarter then).

    A tall block goes over the weights seldom, a short one has its hidden rows in L1.  What is
    side by side is copied, and spares NEON loads.  Asking ahead hides the way of weights from
    L2 and memory, and costs instructions.
    """

    up: Tile
    down: Tile
    rows: int
    side_by_side: bool
    prefetch: bool
    strassen: bool


def block_rows(shape: Shape, target: Target) -> int:
    """Rows of a block: as many as keep the hidden block in half of L1 while both weights stay in
    L2, else (every block streams the weights from memory) in half of L2; fewer if that
    would leave a core without work, and rather a divisor of m than not (on NEON first of all
    a multiple of what its tiles take best; of pairs the one that tiles fit best).  Weights that
    are asked into L2 stream from a third of it on: of 196 rows, 256 wide and 512 hidden, 5 %."""
    weights = 4 * shape.h * (shape.k + shape.n)
    streams = weights > target.l2_bytes // (3 if target.ask_l2 else 2)
    budget = target.l2_bytes // 2 if streams else target.l1_bytes // 2
    most = max(16, budget // (4 * shape.h))
    # A stream of weights costs more than an idle core unless the blocks stay tall.
    shares = -(-shape.m // target.cores)
    most = min(most, max(shares, 24 if streams else 8), shape.m)
    step = NEON_ROWS if target.arch == "aarch64" and most >= NEON_ROWS else 1
    most = min((most + step // 2) // step * step, shape.m)
    divisors = [rows for rows in range(step, most + 1, step) if shape.m % rows == 0]
    tall = [rows for rows in divisors if 2 * rows > most]
    if target.pairs and tall:
        return min(tall, key=lambda rows: _cycles(shape, target, _plain_knobs(shape, target, rows)))
    return divisors[-1] if divisors and 2 * divisors[-1] > most else most


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """Blocks by `block_rows`, and the tiles that fit them best; quarters where they pay."""
    plain = _plain_knobs(shape, target, block_rows(shape, target))
    rows = mlp_strassen.block_rows(shape, target) if target.strassen else None
    if rows is None:
        return plain
    cut = _cut_knobs(shape, target, rows)
    return min(plain, cut, key=lambda knobs: _cycles(shape, target, knobs))


def _plain_knobs(shape: Shape, target: Target, rows: int) -> Knobs:
    spare = spare_registers(shape.act, shape.k, target)
    up = choose_tile(rows, shape.h, target, shape.k, pairs=True, spare=spare)
    down = choose_tile(rows, shape.n, target, shape.h, pairs=True)
    whole = up.lane_a and up.rows == down.rows and fits(shape.k) and fits(shape.h)
    # On NEON asking ahead showed as instructions only.
    return Knobs(up, down, rows, whole, prefetch=not up.lane_a, strassen=False)


def _cut_knobs(shape: Shape, target: Target, rows: int) -> Knobs:
    sizes = _sizes(shape, rows, strassen=False)
    up, down = (choose_quarter_tile(m, n, k, target) for m, n, k in sizes)
    return Knobs(up, down, rows, side_by_side=False, prefetch=True, strassen=True)


def _sizes(shape: Shape, rows: int, strassen: bool) -> tuple[tuple[int, int, int], ...]:
    """Rows, columns and depth of the products that tiles make, up and down."""
    up, down = (rows, shape.h, shape.k), (rows, shape.n, shape.h)
    if not strassen:
        return up, down
    return tuple((half(m), n // 2, k // 2) for m, n, k in (up, down))


def _cycles(shape: Shape, target: Target, knobs: Knobs) -> float:
    """An estimate of both products, per row."""
    estimate = cycles if knobs.strassen else plain_cycles
    up = estimate(knobs.rows, shape.h, shape.k, knobs.up, target)
    down = estimate(knobs.rows, shape.n, shape.h, knobs.down, target)
    return (up + down) / knobs.rows


@dataclass(frozen=True)
class _Scratch:
    """Floats of scratch: a tile of sums for a heavy activation, the hidden block, the block's rows
    side by side, and the sums of their `pairs`."""

    stage: int
    hidden: int
    copied: int
    pairs: int

    @staticmethod
    def of(shape: Shape, knobs: Knobs) -> "_Scratch":
        staged = shape.act not in CHEAP and not knobs.side_by_side
        return _Scratch(
            knobs.up.rows * knobs.up.panel if staged else 0,
            knobs.rows * shape.h,
            knobs.rows * shape.k if knobs.side_by_side else 0,
            knobs.rows * (knobs.up.pairs or knobs.down.pairs),
        )

    @property
    def bytes(self) -> int:
        return 4 * (self.stage + self.hidden + self.copied + self.pairs)


def _scratch_bytes(shape: Shape, knobs: Knobs) -> int:
    if knobs.strassen:
        return mlp_strassen.Scratch.of(shape, knobs.rows, knobs.up, knobs.down).bytes
    return _Scratch.of(shape, knobs).bytes


def choices(shape: Shape, target: Target) -> dict[str, tuple[int, ...]]:
    """Tiles of both products, blocks up to four times as tall or short as the default's that
    divide the rows or that tiles divide, and, where they make sense, quarters, copies and
    prefetch."""
    default = default_knobs(shape, target)
    least, most = -(-default.rows // 4), min(shape.m, 4 * default.rows)
    divisors = [rows for rows in range(least, most + 1) if shape.m % rows == 0]
    tiles = [default.up.rows * 2**power for power in range(8)]
    rows = {default.rows, *divisors, *(rows for rows in tiles if least <= rows <= most)}
    copies = default.up.lane_a and fits(shape.k) and fits(shape.h)
    cuts = target.strassen and mlp_strassen.blocks(shape) != ()
    ways = [_sizes(shape, default.rows, strassen) for strassen in (False, True)[: 1 + cuts]]
    tiles_of: dict[str, set[int]] = {}
    for up, down in ways:
        for name, (m, n, _) in (("up", up), ("down", down)):
            for path, values in tile_choices(name, m, n, target, TWO_PRODUCTS).items():
                tiles_of.setdefault(path, set()).update(values)
    return {
        **{path: tuple(sorted(values)) for path, values in tiles_of.items()},
        "rows": tuple(sorted(rows)),
        **({"strassen": (0, 1)} if cuts else {}),
        **({"side_by_side": (0, 1)} if copies else {}),
        **pair_choices("up", target),
        **pair_choices("down", target),
        **prefetch_choices(target, copies),
    }


def legal(shape: Shape, target: Target, knobs: Knobs) -> bool:
    """Whether both tiles fit a block and one another, and prefetch is chosen where there is
    any."""
    up, down, rows = knobs.up, knobs.down, knobs.rows
    if not 1 <= rows <= shape.m:
        return False
    if knobs.strassen and (not target.strassen or rows not in mlp_strassen.blocks(shape)):
        return False
    first, second = _sizes(shape, rows, knobs.strassen)
    pairs, spare = not knobs.strassen, spare_registers(shape.act, shape.k, target)
    if not (
        tile_legal(up, *first[:2], target, first[2], TWO_PRODUCTS, pairs, spare)
        and tile_legal(down, *second[:2], target, second[2], TWO_PRODUCTS, pairs)
    ):
        return False
    default = default_knobs(shape, target)
    aside = up.rows == down.rows and aside_legal(up, shape.k) and aside_legal(down, shape.h)
    # A factor is always followed by another: weights can be asked for ahead.
    turned = knobs.strassen or any(
        prefetch_legal(knobs.prefetch, default.prefetch, m, n, tile, knobs.side_by_side)
        for tile, (m, n, _) in ((up, first), (down, second))
    )
    used, usual = _scratch_bytes(shape, knobs), _scratch_bytes(shape, default)
    return (
        (aside or not knobs.side_by_side)
        and unroll_legal(up, knobs.side_by_side)
        and unroll_legal(down, knobs.side_by_side)
        and turned
        and scratch_legal(used, usual, target)
        and tasks_legal(_tasks(shape, rows), _tasks(shape, default.rows), target)
    )


def _tasks(shape: Shape, rows: int) -> int:
    return -(-shape.m // rows)


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """x, weight1's panels, bias1, weight2's panels, bias2, residual."""
    if knobs.strassen:
        return mlp_strassen.pack(call, knobs.up, knobs.down)
    weight1, bias1, rms = call.value("weight1"), call.constant("bias1"), call.operand("x").rms
    up = pack_product(weight1, bias1, knobs.up, rms)
    rms = result_rms(weight1, bias1, rms)
    down = pack_product(call.value("weight2"), call.constant("bias2"), knobs.down, rms)
    return ["x", *up, *down, *call.present("residual")]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, packed weight1, [bias1], packed weight2, [bias2], [residual], out."""
    if knobs.strassen:
        return mlp_strassen.build(
            symbol, shape, target, knobs.rows, knobs.up, knobs.down, knobs.prefetch
        )
    e = Emitter()
    x, weight1 = e.pointer("x"), e.pointer("weight1")
    bias1 = e.optional("bias1", shape.bias1 or knobs.up.pairs)
    weight2 = e.pointer("weight2")
    bias2 = e.optional("bias2", shape.bias2 or knobs.down.pairs)
    residual = e.optional("residual", shape.residual)
    out, scratch = e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")

    up, down = knobs.up, knobs.down
    floats = _Scratch.of(shape, knobs)
    hidden, copied = scratch.at(floats.stage), scratch
    pair_sums = hidden.at(floats.hidden)
    if knobs.side_by_side:
        copied = own_base(e, begin, scratch, floats.hidden)

    def product(tile: Tile, a: View, rows: int, n: int, k: int, w: View, b: View | None,
                sink: Sink | SideBySide, stage: View | None, prefetch: bool) -> None:  # fmt: skip
        row_tiles, panels = Span.whole(rows, tile.rows), Span.whole(n, tile.panel)
        ahead = Prefetch.over(rows, n, tile) if prefetch else None
        segments = [Segment(a, k, k, side_by_side=knobs.side_by_side)]
        left_sums = pair_sums if tile.pairs else None
        store_left_sums(e, tile, n, rows, row_tiles, segments, b, left_sums)
        gemm(
            e, tile, n, rows, row_tiles, panels, segments, w, b, sink, stage, prefetch=ahead,
            left_sums=left_sums,
        )  # fmt: skip

    def block(first: Expr, rows: int) -> None:
        source, result = x.at(e.let(first * shape.k)), e.let(first * shape.n)
        rest = None if residual is None else residual.at(result)
        middle: Sink | SideBySide = store_epilogue(hidden, shape.h, shape.act, None)
        if knobs.side_by_side:
            lay_side_by_side(e, source, rows, shape.k, up.rows, copied)
            source, middle = copied, SideBySide(hidden, shape.h, shape.act)
        product(up, source, rows, shape.h, shape.k, weight1, bias1, middle,
                scratch if floats.stage else None, knobs.prefetch)  # fmt: skip
        last = store_epilogue(out.at(result), shape.n, "none", rest)
        product(down, hidden, rows, shape.n, shape.h, weight2, bias2, last, None,
                knobs.prefetch)  # fmt: skip

    whole, tail = shape.m // knobs.rows, shape.m % knobs.rows
    with e.loop(end - begin, "task", begin) as task:
        if tail == 0:
            block(task * knobs.rows, knobs.rows)
        else:
            with e.when(task < int32(whole)):
                block(task * knobs.rows, knobs.rows)
            with e.when(task == int32(whole)):
                block(int32(whole * knobs.rows), tail)
    return Built(e.finish(symbol), floats.bytes, _tasks(shape, knobs.rows))


KERNEL = Kernel("mlp", "mlp", shape_of, plain, default_knobs, pack, build, choices, legal)
