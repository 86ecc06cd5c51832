"""The knobs of the FFN with a depthwise middle, what they make of it, and which are tried."""

from dataclasses import dataclass, replace

from efcompile.kernels import ffn_panels, ffn_strassen
from efcompile.kernels.activations import CHEAP
from efcompile.kernels.deferred import spare_registers
from efcompile.kernels.ffn_late import is_late
from efcompile.kernels.ffn_shape import Shape
from efcompile.kernels.gelu_table import TABLE_LANES
from efcompile.kernels.register_tile import MOST_VECTORS, Tile, choose_tile, cost, in_registers
from efcompile.kernels.side_by_side import fits
from efcompile.kernels.spaces import (
    TWO_PRODUCTS,
    aside_legal,
    pair_choices,
    pixel_choices,
    pixels_legal,
    prefetch_choices,
    prefetch_legal,
    scratch_legal,
    sizes,
    tasks_legal,
    tile_choices,
    tile_legal,
    unroll_legal,
)
from efcompile.kernels.stencil import choose_pixels
from efcompile.kernels.step import Steps, step_rows
from efcompile.kernels.strassen import filled, half, plain_cycles
from efcompile.targets.target import Target

_PAYS, _ROOM = 0.985, 2.5
"""What quarters may cost of the plain kernel's cycles, as their weights take 7/4 of the room; and
what their scratch may take of the L2 cache: what outgrows it is gone over in order, a few times."""

_SLIM, _NEXT = 32, 2
"""Of quarters: the most columns of the first product's tile, as a panel's sums and hidden rows, of
all rows, had better be few (of three vectors blocks take up to 6 % longer); and how many steps'
weights a tile leaves registers for, of 32: LLVM loads the next ones early (27 sums: up to 3 %)."""

_NARROW, _PANEL_ROWS, _LOW = 1.03, 7, 8
"""By panels: how much slower than the best a tile may look that keeps rings in L1, the rows of a
step (more gained nothing), and of a tile that takes middle rows, which L1 does not hold (of 9 to 14
the product takes up to a fifth longer)."""

_TABLE = 11
"""Registers that the constants of `table_gelu` take."""

_BRIEF, _LOWER, _LOWER_PAIRS, _BESIDE = 96, 7, 8, 0.95
"""By panels: elements of k, and rows of tiles (of pairs) where there are no more; and what two
activations beside such tiles leave of the cycles."""

_FEW = 32
"""Elements of k up to which tiles may be lower still: of more, tiles of six rows take 10 to 15 %
longer than of seven, even where six divide a row.  Of so few no pairs are made: activations have
the pipes that pairs would use, and want the registers (56 x 56 pixels take 5 % longer by them)."""


@dataclass(frozen=True)
class Knobs:
    """Tiles of the two products, `pixels` of the stencil's tile, output `rows` of a step,
    whether pixels lie `side_by_side` throughout (in tiles of one height, which divides the
    widths and `pixels`), whether the products ask for weights a panel ahead, whether a step goes
    panel by panel (`by_panels`), and whether both products are cut into quarters (`strassen`,
    always by panels; the tiles are those of a quarter then).

    Long steps go over the weights seldom, short ones keep their rows in small caches, spread over
    more cores and make fewer hidden rows twice (of quarters all do).  What is side by side is
    copied, and spares NEON loads.  Asking ahead hides the way of weights from L2 and memory, and
    costs instructions.  By panels the stencil reads L1; all channels of its rows outgrow that.
    """

    up: Tile
    down: Tile
    pixels: int
    rows: int
    side_by_side: bool
    prefetch: bool
    by_panels: bool
    strassen: bool


def ring_rows(shape: Shape, rows: int) -> int:
    """Hidden rows under `rows` output rows."""
    return min((rows - 1) * shape.down.stride + shape.down.kernel, shape.down.size)


def new_rows(shape: Shape, rows: int) -> int:
    """Hidden rows that a step of so many makes, but the first."""
    return min(rows * shape.down.stride, shape.down.size)


def scratch_floats(shape: Shape, rows: int) -> tuple[int, int]:
    """Sizes of the ring and of the middle rows."""
    ring = ring_rows(shape, rows) * shape.across.size * shape.c
    return ring, rows * shape.across.out * shape.c


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """Steps by `step_rows`, and the tiles that fit them best; quarters where they pay."""
    plain = plain_knobs(shape, target)
    cuts = [_cut_knobs(shape, target, rows) for rows in ffn_strassen.blocks(shape, target)]
    fitting = [cut for cut in cuts if _bytes(shape, cut) <= _ROOM * target.l2_bytes]
    best = min(fitting, key=lambda cut: _cycles(shape, target, cut), default=plain)
    # Low tiles with activations beside are faster than the one that looks best.
    up = choose_tile(shape.across.size, shape.c, target, shape.k, pairs=plain.by_panels)
    looks = replace(plain, up=up)
    late = plain.by_panels and is_late(shape, plain.up)
    most = (_BESIDE if late else 1) * _cycles(shape, target, looks)
    pays = _cycles(shape, target, best) < _PAYS * most
    return best if pays else plain


def plain_knobs(shape: Shape, target: Target) -> Knobs:
    """The default without quarters."""
    tile = _panel_tile(shape, target)
    rows = step_rows(
        4 * shape.c * (shape.k + shape.n),
        shape.batch,
        shape.down,
        shape.across,
        lambda rows: 4 * sum(scratch_floats(shape, rows)),
        target,
    )
    if tile is not None:
        rows = max(rows, _panel_rows(shape, target))
    width = Steps(shape.down, shape.across, rows).product_width
    up = tile or choose_tile(shape.across.size, shape.c, target, shape.k)
    down = choose_tile(width, shape.n, target, shape.c, pairs=tile is not None)
    if tile is not None:
        down = _within(down, width, shape.n, shape.c, target, _LOW, MOST_VECTORS) or down
    pixels = _pixels(shape, target)
    whole = shape.across.size % up.rows == shape.across.out % up.rows == 0 and up.rows == down.rows
    aside = up.lane_a and whole and fits(shape.c) and fits(shape.k)
    if aside:
        pixels = max(1, pixels // up.rows) * up.rows
    # On NEON asking ahead showed as instructions only.
    ahead = not up.lane_a
    return Knobs(up, down, pixels, rows, aside, ahead, tile is not None, strassen=False)


def _pixels(shape: Shape, target: Target) -> int:
    """Of the stencil's tile.  LLVM keeps the constants of `table_gelu` in registers all through a
    kernel, and rather spills sums."""
    table = target.lanes == TABLE_LANES and "gelu" in (shape.act1, shape.act2)
    return choose_pixels(shape.across, target.registers - (_TABLE if table else 0))


def _panel_tile(shape: Shape, target: Target) -> Tile | None:
    """The first product's tile if steps go panel by panel: one whose ring L1 has room for beside
    weights and rows of x.  None where that is no gain: all channels of a ring are in L1, the
    stencil has a stride (then a ring is longer than what it is read for), there is no such tile
    that is nearly the best, or instructions are what counts (NEON)."""
    column = 4 * shape.down.kernel * shape.across.size
    small = 2 * column * shape.c <= target.l1_bytes
    if small or target.arch == "aarch64" or max(shape.down.stride, shape.across.stride) > 1:
        return None

    spare = _spare(shape, target)

    def usual_tile(pairs: bool) -> Tile:
        size = (shape.across.size, shape.c, target, shape.k)
        return choose_tile(*size, pairs=pairs, spare=spare)

    widest = 4 * target.l1_bytes // (5 * column * target.lanes)
    up = shape.across.size, shape.c, shape.k
    # With so few products much of the time goes to activations, which `deferred` and `ffn_late` put
    # beside them: low, narrow tiles, which leave registers for it, take 2 to 10 % less than what
    # looks best.
    pairs = target.pairs and shape.k > _FEW
    highest = _LOWER_PAIRS if pairs else _LOWER
    low = _within(usual_tile(pairs), *up, target, highest, min(widest, _SLIM // target.lanes))
    if low is not None and shape.k > _FEW and not pairs:
        low = replace(low, rows=min(_LOWER, shape.across.size))
    if shape.k <= _BRIEF and low is not None and is_late(shape, low):
        return low
    usual = usual_tile(True)
    best = _within(usual, *up, target, target.registers, widest)
    if best is None or _tile_cost(best, *up, target) > _NARROW * _tile_cost(usual, *up, target):
        return None
    # Tiles of one height rather than a low last one: 7 and 7 rows, not 8 and 6 (1 to 2 % less).
    even = -(-shape.across.size // -(-shape.across.size // best.rows))
    return replace(best, rows=even) if best.pairs else best


def _spare(shape: Shape, target: Target) -> int:
    """Registers that the first product's tile leaves to the activation.  It does with two fewer
    than others, so that rows of 16 and 24 pixels are tiles of 8 (FFNs of 16 x 16 and 24 x 24 take
    2 and 4 % less)."""
    return max(0, spare_registers(shape.act1, shape.k, target) - 2)


def _within(
    usual: Tile, m: int, n: int, k: int, target: Target, highest: int, widest: int
) -> Tile | None:
    """The best tile with no more rows and vectors: the `usual` one if that has not."""
    if usual.rows <= highest and usual.vectors <= widest:
        return usual
    tiles = [
        replace(usual, rows=rows, vectors=vectors)
        for vectors in range(1, min(widest, -(-n // target.lanes)) + 1)
        for rows in range(1, min(highest, m) + 1)
        if in_registers(rows, vectors, target, usual.pairs)
    ]
    return min(tiles, key=lambda tile: _tile_cost(tile, m, n, k, target), default=None)


def _tile_cost(tile: Tile, m: int, n: int, k: int, target: Target) -> float:
    return cost(m, n, tile.rows, tile.vectors, target, k, tile.pairs)


def _panel_rows(shape: Shape, target: Target) -> int:
    """Rows of a step by panels: so many that a panel's ring is seldom fetched again, as long as
    every core has a step and the middle rows stay in a quarter of L2."""
    row = 4 * shape.across.out * shape.c
    most = min(_PANEL_ROWS, target.l2_bytes // (4 * row))
    most = max(1, min(most, -(-shape.down.out * shape.batch // target.cores), shape.down.out))
    return -(-shape.down.out // -(-shape.down.out // most))


def _cut_knobs(shape: Shape, target: Target, rows: int) -> Knobs:
    """Blocks of `rows` output rows in quarters."""
    first, second = _tiled(shape, rows, target, strassen=True)
    up = _even_tile(*first, target, max(1, _SLIM // target.lanes))
    down = _even_tile(*second, target, MOST_VECTORS)
    # Here activations come after the stencil, in loops of their own.
    pixels = choose_pixels(shape.across, target.registers)
    return Knobs(up, down, pixels, rows, False, prefetch=True, by_panels=True, strassen=True)


def _even_tile(m: int, n: int, k: int, target: Target, widest: int) -> Tile:
    """The best tile of at most `widest` vectors, all tiles of one height rather than a low last
    one."""
    usual = choose_tile(m, n, target, k)
    spare = _NEXT if target.registers > 16 else 1
    tiles = [
        replace(usual, rows=-(-m // -(-m // rows)), vectors=vectors)
        for vectors in range(1, min(widest, -(-n // target.lanes)) + 1)
        for rows in range(1, min(m, target.registers // vectors - spare) + 1)
        if in_registers(rows, vectors, target)
    ]
    return min(tiles, key=lambda tile: _tile_cost(tile, m, n, k, target))


def _cut(shape: Shape, rows: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Rows, columns and depth of both products of a block."""
    made = ffn_strassen.hidden_rows(shape, rows) * shape.across.size
    return (made, shape.c, shape.k), (rows * shape.across.out, shape.n, shape.c)


def _tiled(
    shape: Shape, rows: int, target: Target, strassen: bool
) -> tuple[tuple[int, int, int], ...]:
    """Rows, columns and depth of the products that tiles make, up and down."""
    if strassen:
        cut = _cut(shape, rows)
        return tuple((half(m), filled(n // 2, target.lanes), k // 2) for m, n, k in cut)
    width = Steps(shape.down, shape.across, rows).product_width
    return (shape.across.size, shape.c, shape.k), (width, shape.n, shape.c)


def _cycles(shape: Shape, target: Target, knobs: Knobs) -> float:
    """An estimate of what the busiest core takes, without the stencil and activations."""
    steps = Steps(shape.down, shape.across, knobs.rows)
    share = -(-shape.batch * steps.count // target.cores)
    if knobs.strassen:
        return share * ffn_strassen.cycles(shape, knobs.rows, knobs.up, knobs.down, target)
    rows = share * new_rows(shape, knobs.rows)
    if shape.batch * steps.count > share:
        # Made by two cores; the first and the last have one border of the image.
        rows += max(0, shape.down.kernel - shape.down.stride - shape.down.padding)
    up_row = plain_cycles(shape.across.size, shape.c, shape.k, knobs.up, target)
    width, height = steps.product_width, knobs.rows * shape.across.out // steps.product_width
    down_row = plain_cycles(width, shape.n, shape.c, knobs.down, target)
    # What quarters are charged too: hidden and middle rows are stored, and the stages of
    # activations that are not cheap go to L1 and back (which is half of a move each).
    moves = 2 + sum(act not in CHEAP for act in (shape.act1, shape.act2))
    floats = rows * shape.across.size * shape.c
    return rows * up_row + share * height * down_row + moves * floats / ffn_strassen.LINE


def choices(shape: Shape, target: Target) -> dict[str, tuple[int, ...]]:
    """Tiles of both products and the stencil, steps up to four times as long or short as the
    default's, and, where they make sense, quarters, copies and prefetch."""
    default = plain_knobs(shape, target)
    copies = default.up.lane_a and fits(shape.c) and fits(shape.k)
    blocks = ffn_strassen.blocks(shape, target)
    ways = [(default.rows, False), *((rows, True) for rows in blocks)]
    tiles: dict[str, set[int]] = {}
    for rows, strassen in ways:
        for name, (m, n, _) in zip(
            ("up", "down"), _tiled(shape, rows, target, strassen), strict=True
        ):
            for path, values in tile_choices(name, m, n, target, TWO_PRODUCTS).items():
                tiles.setdefault(path, set()).update(values)
    return {
        **{path: tuple(sorted(values)) for path, values in tiles.items()},
        "pixels": pixel_choices(shape.across, target.registers),
        "rows": tuple(sorted({*sizes(shape.down.out, default.rows), *blocks})),
        **({} if default.up.lane_a else {"by_panels": (0, 1)}),
        **({"strassen": (0, 1)} if blocks else {}),
        **({"side_by_side": (0, 1)} if copies else {}),
        **pair_choices("up", target),
        **pair_choices("down", target),
        **prefetch_choices(target, copies),
    }


def legal(shape: Shape, target: Target, knobs: Knobs) -> bool:
    """Whether the tiles fit the widths and one another, and prefetch is chosen where there is
    any."""
    if not 1 <= knobs.rows <= shape.down.out:
        return False
    if knobs.strassen and knobs.rows not in ffn_strassen.blocks(shape, target):
        return False
    up, down, across = knobs.up, knobs.down, shape.across
    default = default_knobs(shape, target)
    first, second = _tiled(shape, knobs.rows, target, knobs.strassen)
    pixels = {plain_knobs(shape, target).pixels, _pixels(shape, target)}
    pairs = knobs.by_panels and not knobs.strassen
    spare = _spare(shape, target)
    if not (
        tile_legal(up, *first[:2], target, first[2], TWO_PRODUCTS, pairs, spare)
        and tile_legal(down, *second[:2], target, second[2], TWO_PRODUCTS, pairs)
        and (knobs.pixels in pixels or pixels_legal(knobs.pixels, across, target.registers))
    ):
        return False
    return (
        unroll_legal(up, knobs.side_by_side)
        and unroll_legal(down, knobs.side_by_side)
        and (not knobs.side_by_side or _aside_legal(shape, knobs))
        and not (knobs.by_panels and (knobs.side_by_side or up.lane_a))
        and (knobs.by_panels or not knobs.strassen)
        # A factor is always followed by another: weights can be asked for ahead.
        and (knobs.strassen or _prefetch_legal(shape, knobs, default.prefetch))
        and scratch_legal(_bytes(shape, knobs), _bytes(shape, default), target)
        and tasks_legal(_tasks(shape, knobs), _tasks(shape, default), target)
    )


def _aside_legal(shape: Shape, knobs: Knobs) -> bool:
    """Whether pixels can lie side by side."""
    up, down, across = knobs.up, knobs.down, shape.across
    widths = (across.size, across.out, knobs.pixels)
    return (
        not knobs.strassen
        and up.rows == down.rows
        and all(width % up.rows == 0 for width in widths)
        and aside_legal(up, shape.k)
        and aside_legal(down, shape.c)
    )


def _prefetch_legal(shape: Shape, knobs: Knobs, default: bool) -> bool:
    """Whether one of two plain products can ask for weights ahead, if `knobs` are not as usual."""
    steps = Steps(shape.down, shape.across, knobs.rows)
    first = new_rows(shape, knobs.rows) * shape.across.size
    last = steps.product_rows * steps.product_width
    return any(
        prefetch_legal(knobs.prefetch, default, rows, columns, tile, knobs.side_by_side)
        for rows, columns, tile in ((first, shape.c, knobs.up), (last, shape.n, knobs.down))
    )


def _bytes(shape: Shape, knobs: Knobs) -> int:
    if knobs.strassen:
        return ffn_strassen.Scratch.of(shape, knobs.rows, knobs.up, knobs.down).bytes
    if knobs.by_panels:
        return ffn_panels.Scratch.of(shape, knobs.rows, knobs.up, knobs.down, knobs.pixels).bytes
    return 4 * sum(scratch_floats(shape, knobs.rows))


def _tasks(shape: Shape, knobs: Knobs) -> int:
    return shape.batch * Steps(shape.down, shape.across, knobs.rows).count
