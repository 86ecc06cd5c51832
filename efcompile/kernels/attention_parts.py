"""The steps that attention kernels are made of, for one block of queries of one head.

Keys are transposed into scratch (scaled), so scores are vectors along keys; rows of scores are
padded to whole vectors, and the padding is masked by the bias.  Values are copied next to one
another on request: rows thousands of bytes apart fall onto the same cache sets.
"""

from dataclasses import dataclass, replace

from efcompile.kernels.activations import CHEAP, VECTOR
from efcompile.kernels.attention_bias import BiasPointers
from efcompile.kernels.attention_block import Block
from efcompile.kernels.attention_shape import Shape, View4, pitch_of
from efcompile.kernels.emit import Emitter, Expr, View, float32, splat
from efcompile.kernels.matrix_copy import copy_matrix
from efcompile.kernels.register_tile import Tile, choose_tile
from efcompile.kernels.segment import Segment
from efcompile.kernels.span import Span
from efcompile.kernels.stencil import choose_pixels
from efcompile.kernels.tile import gemm
from efcompile.targets.target import Target


@dataclass(frozen=True)
class Knobs:
    """Register tiles of the two products, queries per task (whole rows of their image if the
    values are convolved), pixels in registers in the convolution (0 without), and whether values
    are copied next to one another.

    Many queries share keys, values and the ends of loops; few have their scores in a small
    cache, and spread over the cores.  Values far apart keep one another out of the L1 cache, which
    tiles of many rows can bear.
    """

    scores: Tile
    values: Tile
    task_queries: int
    pixels: int
    copy_values: bool


def make_knobs(shape: Shape, target: Target, task_queries: int) -> Knobs:
    """Tiles for blocks of about `task_queries`, evened out over the blocks."""
    local = shape.local
    unit = 1 if local is None else local.across.out
    blocks = -(-shape.queries // max(unit, task_queries))
    rows = -(-shape.queries // unit // blocks) * unit
    return Knobs(
        choose_tile(rows, pitch_of(shape, target.lanes), target, shape.key_dim),
        _without_rest(_even(choose_tile(rows, shape.value_dim, target), rows), shape.keys),
        rows,
        0 if local is None else choose_pixels(local.across, target.registers),
        copies_values(shape, target),
    )


def _even(tile: Tile, rows: int) -> Tile:
    """As few tiles of a block, but all of one height or nearly: on x86 the code of a last one that
    is much lower made LLVM spill the sums of the others."""
    return tile if tile.lane_a else replace(tile, rows=-(-rows // -(-rows // tile.rows)))


def _without_rest(tile: Tile, depth: int) -> Tile:
    """k unrolled so that nothing is left over, where a near number of steps does that: what is
    left has code of its own, after a loop that is not well predicted (2 % of 49 keys)."""
    steps = next((n for n in (4, 5, 6, 7, 8) if depth % n == 0), tile.unroll)
    return tile if tile.lane_a else replace(tile, unroll=steps)


def copies_values(shape: Shape, target: Target) -> bool:
    """Whether values are copied unless a knob says otherwise: where they must be, and where tiles
    have few rows.  The fourteen rows that AVX-512 allows hide the way of values from L2 (6 to 8 %
    of the time saved); with AVX2's six a copy is better or as good."""
    return values_strided(shape) or (values_apart(shape) and target.vector_bits < 512)


def values_strided(shape: Shape) -> bool:
    """Whether the elements of a key's values are not adjacent."""
    return shape.v_view[4] != 1


def values_apart(shape: Shape) -> bool:
    """Whether there is something between a head's values of one key and those of the next."""
    return values_strided(shape) or shape.v_view[3] != shape.value_dim


class Carver:
    """Cuts scratch into pieces that start at whole cache lines."""

    def __init__(self, scratch: View) -> None:
        self._scratch = scratch
        self._floats = 0

    def take(self, floats: int) -> View:
        """The next piece."""
        piece = self._scratch.at(self._floats)
        self._floats += -(-floats // 16) * 16
        return piece

    @property
    def bytes(self) -> int:
        """What all pieces take."""
        return 4 * self._floats


def head_start(e: Emitter, view: View4, batch: Expr, head: Expr) -> Expr:
    """Where a head's first token lies."""
    return e.hold(batch * view[1] + head * view[2] + view[0])


def copied_value_floats(shape: Shape, knobs: Knobs) -> int:
    """Scratch for a head's values; 0 if they are read where they are."""
    return shape.keys * shape.value_dim if knobs.copy_values else 0


def value_pitch(shape: Shape, knobs: Knobs) -> int:
    """Elements from a key's values to the next key's, as the product reads them."""
    return shape.value_dim if knobs.copy_values else shape.v_view[3]


def copied_query_floats(shape: Shape, rows: int) -> int:
    """Scratch for `rows` queries; 0 if the elements of each are adjacent, as the product wants."""
    return 0 if shape.q_view[4] == 1 or shape.key_dim == 1 else rows * shape.key_dim


def load_keys(e: Emitter, shape: Shape, k: View, out: View, lanes: int) -> None:
    """``out[d, key] = scale * k[key, d]``, padded with zeros."""

    def scaled(value: Expr, width: int) -> Expr:
        return value if shape.scale == 1.0 else value * float32(shape.scale, width)

    pitch, size = pitch_of(shape, lanes), (shape.key_dim, shape.keys)
    copy_matrix(e, k, (shape.k_view[4], shape.k_view[3]), out, pitch, size, lanes, scaled)


def load_values(e: Emitter, shape: Shape, v: View, out: View, lanes: int) -> None:
    """``out[key, d] = v[key, d]``."""
    strides, size = (shape.v_view[3], shape.v_view[4]), (shape.keys, shape.value_dim)
    copy_matrix(e, v, strides, out, shape.value_dim, size, lanes)


def score_rows(
    e: Emitter,
    shape: Shape,
    tile: Tile,
    block: Block,
    q: View,
    keys: View,
    scores: View,
    copied: View,
    bias: BiasPointers | None,
) -> None:
    """``scores[rows, pitch] = q[rows] @ keys`` of a block, plus the constant bias if given.

    `copied` is scratch for the queries if they need it (see `copied_query_floats`).
    """
    pitch, token = pitch_of(shape, tile.lanes), shape.q_view[3]
    if copied_query_floats(shape, 1):
        size = (block.rows, shape.key_dim)
        copy_matrix(e, q, (token, shape.q_view[4]), copied, shape.key_dim, size, tile.lanes)
        q, token = copied, shape.key_dim
    # A bias that is the same for all rows is what the sums start from.
    same = bias is not None and bias.relative is None and not bias.strides[2]
    start = bias.padded if bias is not None and same else None

    def sink(e: Emitter, row: Expr, column: Expr, lanes: int, value: Expr) -> None:
        if bias is not None and not same:
            value = value + e.load(bias.line(e, row), column, lanes)
        e.store(scores, row * pitch + column, value, lanes)

    (rows, tiles), panels = block.tiles(e, tile.rows), Span.whole(pitch, tile.panel)
    segments = [Segment(q, token, shape.key_dim)]
    gemm(e, tile, pitch, rows, tiles, panels, segments, keys, start, sink, weight_stride=pitch)


def weigh_values(
    e: Emitter,
    shape: Shape,
    tile: Tile,
    block: Block,
    weights: View,
    values: View,
    pitch: int,
    out: View,
    inverses: tuple[View, int] | None,
    near: View | None,
    stage: View,
) -> None:
    """``out[rows] = act(weights[rows, keys] @ values + near)`` of a block, each row of the product
    times its inverse if given (the first, and the step to the next row's).

    `values` are `pitch` elements apart; `near` is [rows, value_dim] if given; `stage` is scratch,
    see `stage_floats`.
    """
    width, out_pitch = shape.value_dim, shape.heads * shape.value_dim

    def sink(e: Emitter, row: Expr, column: Expr, lanes: int, value: Expr) -> None:
        if inverses is not None:
            first, step = inverses
            value = value * splat(e.load(first, row * step), lanes)
        if near is not None:
            value = value + e.load(near, row * width + column, lanes)
        value = VECTOR[shape.act](e, e.let(value), lanes)
        e.store(out, row * out_pitch + column, value, lanes)

    (rows, tiles), panels = block.tiles(e, tile.rows), Span.whole(width, tile.panel)
    segments = [Segment(weights, pitch_of(shape, tile.lanes), shape.keys)]
    staged = stage if stage_floats(shape, tile) else None
    gemm(
        e, tile, width, rows, tiles, panels, segments, values, None, sink, staged,
        weight_stride=pitch, beside=False,  # it would spill
    )  # fmt: skip


def stage_floats(shape: Shape, tile: Tile) -> int:
    """Scratch for a tile of sums, 0 if the activation is cheap enough for the accumulators."""
    return 0 if shape.act in CHEAP else tile.rows * tile.panel
