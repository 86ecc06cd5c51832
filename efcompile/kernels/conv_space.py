"""The knobs of a convolution by its rows, what they make of it, and which of them are tried."""

from dataclasses import dataclass
from typing import Any

from efcompile.kernels import conv_strassen
from efcompile.kernels.activations import CHEAP
from efcompile.kernels.balance import even_size
from efcompile.kernels.conv_shape import ConvShape
from efcompile.kernels.deferred import spare_registers
from efcompile.kernels.pairs import GROUP
from efcompile.kernels.register_tile import SHORT, Tile, choose_tile
from efcompile.kernels.rows import PaddedRow
from efcompile.kernels.spaces import (
    pair_choices,
    prefetch_choices,
    prefetch_legal,
    scratch_legal,
    sizes,
    tasks_legal,
    tile_choices,
    tile_legal,
    unroll_choices,
    unroll_legal,
)
from efcompile.kernels.strassen import PRODUCTS, plain_cycles
from efcompile.targets.target import Target


@dataclass(frozen=True)
class Knobs:
    """`tile`, the output rows and weight panels of one task, whether weights are asked for a
    panel ahead (where they are cold or tiles enough), and the order of the tasks.

    Many rows go over the weights seldom, few have their input in a small cache.  The tasks of a
    block of rows follow one another, so a thread copies the block's input once; with
    `weights_stay` those of a group of panels do, whose weights stay in the cache while the
    blocks go by, copied anew each time.
    """

    tile: Tile
    task_rows: int
    task_panels: int
    prefetch: bool
    weights_stay: bool
    strassen: bool


def input_rows(shape: ConvShape, rows: Any) -> Any:
    """Input rows under `rows` output rows."""
    return (rows - 1) * shape.stride[0] + shape.dilation[0] * (shape.kernel[0] - 1) + 1


def padded_row(shape: ConvShape) -> PaddedRow:
    used = (shape.out_width - 1) * shape.stride[1] + shape.dilation[1] * (shape.kernel[1] - 1) + 1
    element = 1 if shape.nchw else shape.channels
    return PaddedRow.around(shape.width, shape.padding[1], used, element)


def in_place(shape: ConvShape) -> bool:
    """Whether the image is read where it lies: nothing is missing right of it or below it (so less
    than a stride above it and left of it).  Taps that are missing are left out.  Not of a model's
    input: its rows come from beyond L2, in order only where they are copied (75 us for 94)."""
    (down, right), stride, kernel = shape.padding, shape.stride, shape.kernel
    return shape.padding == (0, 0) or (
        (shape.out_height - 1) * stride[0] - down + kernel[0] <= shape.height
        and (shape.out_width - 1) * stride[1] - right + kernel[1] <= shape.width
        and down < kernel[0]
        and right < kernel[1]
        and shape.dilation == (1, 1)
        and shape.groups == 1
        and not shape.nchw
    )


def copied_floats(shape: ConvShape, rows: int) -> int:
    """Scratch for the padded input of `rows` output rows; none is needed `in_place`."""
    if in_place(shape):
        return 0
    planes = shape.channels if shape.nchw else 1
    return planes * int(input_rows(shape, rows)) * padded_row(shape).pitch


def has_pairs(shape: ConvShape) -> bool:
    """Whether the product can multiply pairs: where a pixel's channels are whole groups."""
    return not shape.nchw and shape.groups == 1 and shape.channels % GROUP == 0


def _tile(shape: ConvShape, target: Target) -> Tile:
    """The product's tile: a small one where windows overlap along channels-first rows on x86.
    A pixel's elements there are its neighbour's too, and LLVM keeps them between the two; with
    all 32 registers taken, sums would go to the stack and back.  Otherwise, where there are 32,
    one that leaves some for the next step's weights, which LLVM loads early: of 27 sums it spills
    some, and rows take up to a tenth longer."""
    overlap = shape.nchw and shape.stride[1] < shape.kernel[1]
    depth = min(shape.window, SHORT) if overlap else shape.window
    ahead = 1 if target.arch == "x86_64" and target.registers > 16 else 0
    columns = shape.filters // shape.groups
    pairs = has_pairs(shape)
    spare = spare_registers(shape.act, depth, target)
    tile = choose_tile(shape.out_width, columns, target, depth, ahead, pairs, spare)
    weights = 4 * shape.window * columns
    pixels = shape.batch * shape.out_height * shape.out_width
    asked = pixels <= _FEW and target.l1_bytes < weights <= target.l2_bytes
    if ahead and asked and tile.rows > _LOW:
        # Then `asks_ahead` is for it: in the network 62 us for 68.
        even = -(-shape.out_width // -(-shape.out_width // _LOW))
        tile = choose_tile(even, columns, target, depth, ahead, pairs, spare)
    return tile


def default_knobs(shape: ConvShape, target: Target) -> Knobs:
    """Rows as they are, or quarters where they are estimated to pay."""
    plain, cut = _plain_knobs(shape, target), _cut_knobs(shape, target)
    if cut is None:
        return plain
    row = plain_cycles(shape.out_width, shape.filters, shape.window, plain.tile, target)
    # With AVX2 quarters gain more than is estimated: they paid even where so much is left out.
    fewer = in_place(shape) and target.lanes > _AVX2_LANES
    usual = row * shape.out_height * (_share_inside(shape) if fewer else 1)
    quarters = conv_strassen.image_cycles(shape, cut.task_rows, cut.tile, target)
    return cut if quarters <= _PAYS * usual else plain


def _share_inside(shape: ConvShape) -> float:
    """Of the taps of all pixels those not above or left of the image, where `in_place`."""
    (down, right), (high, wide) = shape.padding, shape.kernel
    return (1 - down / (high * shape.out_height)) * (1 - right / (wide * shape.out_width))


_AVX2_LANES = 8

_PAYS = 0.98
"""Of the estimate for whole products, what quarters must come to: they take more room."""


def _cut_knobs(shape: ConvShape, target: Target) -> Knobs | None:
    """Quarters, their panels shared out where the blocks do not give every core its share."""
    rows = conv_strassen.block_rows(shape, target)
    if rows is None:
        return None
    tile = conv_strassen.choose_block_tile(shape, rows, target)
    panels = max(1, shape.filters // 2 // tile.panel)
    blocks = shape.batch * (shape.out_height // rows)
    most = panels if blocks % target.cores == 0 else -(-panels // target.cores)
    task_panels = even_size(panels, most, target.cores, blocks)
    return Knobs(tile, rows, task_panels, prefetch=True, weights_stay=False, strassen=True)


def _plain_knobs(shape: ConvShape, target: Target) -> Knobs:
    """Row blocks whose input takes a quarter of L2; where the weights are larger than L2, as
    few blocks as L2 allows, so that they stream from memory few times, and panels are shared
    out instead."""
    columns = shape.filters // shape.groups
    tile = _tile(shape, target)
    depth = shape.window
    panels = max(1, columns // tile.panel)
    heavy = 4 * depth * columns > target.l2_bytes // 2 and shape.groups == 1
    budget = target.l2_bytes // (2 if heavy else 4) // 4
    rows = 1
    while rows < shape.out_height and copied_floats(shape, rows + 1) <= budget:
        rows += 1
    cores = target.cores
    wanted = max(1, 2 * cores // shape.batch)
    # On NEON asking ahead showed as instructions only.
    ahead = not tile.lane_a
    if not heavy:
        most = min(rows, -(-shape.out_height // wanted))
        task_rows = even_size(shape.out_height, most, cores, shape.batch)
        return Knobs(tile, task_rows, panels, ahead, weights_stay=False, strassen=False)
    blocks = -(-shape.out_height // rows)
    if panels * blocks * shape.batch % cores:
        rows = min(rows, -(-shape.out_height // cores))
        blocks = -(-shape.out_height // rows)
    most = max(1, panels * blocks // wanted)
    task_panels = even_size(panels, most, cores, blocks * shape.batch)
    return Knobs(tile, rows, task_panels, ahead, weights_stay=False, strassen=False)


@dataclass(frozen=True)
class Plan:
    """How the knobs cut the product: whole panels, blocks of rows and parts of the panels,
    scratch."""

    panels: int
    blocks: int
    parts: int
    tasks: int
    stage_floats: int
    copied_floats: int
    scratch_bytes: int


def plan_of(shape: ConvShape, knobs: Knobs) -> Plan:
    """The cut of a convolution by these knobs."""
    tile = knobs.tile
    columns = shape.filters // (2 if knobs.strassen else shape.groups)
    panels = columns // tile.panel
    blocks = -(-shape.out_height // knobs.task_rows)
    parts = max(1, -(-panels // knobs.task_panels))
    stage = 0 if shape.act in CHEAP or knobs.strassen else tile.rows * tile.panel
    copied = 0 if knobs.strassen else copied_floats(shape, knobs.task_rows)
    if knobs.strassen:
        floats = conv_strassen.scratch_floats(shape, knobs.task_rows, tile)
    else:
        floats = stage + copied + knobs.task_rows * shape.out_width * tile.pairs
    return Plan(panels, blocks, parts, shape.batch * blocks * parts, stage, copied, 4 * floats)


def asks_ahead(shape: ConvShape, target: Target, knobs: Knobs) -> bool:
    """Whether prefetch is worth it.  Tasks of few tiles find the weights where the task before
    left them, if L2 holds them; the first finds them in memory, but several requests a step make
    LLVM move a tall tile's sums to the stack."""
    tile, columns = knobs.tile, shape.filters // shape.groups
    passes = knobs.task_rows * -(-shape.out_width // tile.rows)
    weights = 4 * shape.window * columns
    cold = weights > (target.l1_bytes if tile.rows <= _LOW else target.l2_bytes)
    return cold or 16 * passes >= tile.unroll * tile.panel


_FEW = 256
"""Pixels to which it matters that weights are in L3 when the convolution begins."""

_LOW = 8
"""Rows of a tile that leaves registers for addresses to ask for."""


def choices(shape: ConvShape, target: Target) -> dict[str, tuple[int, ...]]:
    """Tiles, cuts around the default's, prefetch, order and, where they make sense, quarters."""
    default, plain = default_knobs(shape, target), _plain_knobs(shape, target)
    columns = shape.filters // shape.groups
    tiles = tile_choices("tile", shape.out_width, columns, target)
    rows = {default.task_rows, *sizes(shape.out_height, plain.task_rows)}
    panels = {default.task_panels, *sizes(plan_of(shape, plain).panels, plain.task_panels)}
    cut = _cut_knobs(shape, target)
    if cut is not None:
        m, n, _ = conv_strassen.product(shape, cut.task_rows)
        for path, values in tile_choices("tile", m, n, target).items():
            tiles[path] = tuple(sorted({*tiles[path], *values}))
        rows.update(conv_strassen.blocks(shape, target))
        panels.update(sizes(plan_of(shape, cut).panels, cut.task_panels))
    return {
        **tiles,
        **unroll_choices("tile", target),
        **(pair_choices("tile", target) if has_pairs(shape) else {}),
        "task_rows": tuple(sorted(rows)),
        "task_panels": tuple(sorted(panels)),
        **prefetch_choices(target),
        "weights_stay": (0, 1),
        **({} if cut is None else {"strassen": (0, 1)}),
    }


def legal(shape: ConvShape, target: Target, knobs: Knobs) -> bool:
    """Whether the tile fits, the cut is one, and no knob is turned that changes nothing."""
    if min(knobs.task_rows, knobs.task_panels) < 1 or knobs.task_rows > shape.out_height:
        return False
    default = default_knobs(shape, target)
    if not (_cut_legal if knobs.strassen else _plain_legal)(shape, target, knobs, default):
        return False
    plan, usual = plan_of(shape, knobs), plan_of(shape, default)
    return (
        knobs.task_panels <= max(1, plan.panels)
        and unroll_legal(knobs.tile, side_by_side=False)
        and scratch_legal(plan.scratch_bytes, usual.scratch_bytes, target)
        and tasks_legal(plan.tasks, usual.tasks, target)
    )


def _cut_legal(shape: ConvShape, target: Target, knobs: Knobs, default: Knobs) -> bool:
    if knobs.weights_stay or knobs.task_rows not in conv_strassen.blocks(shape, target):
        return False
    m, n, k = conv_strassen.product(shape, knobs.task_rows)
    return (knobs == default or tile_legal(knobs.tile, m, n, target, k)) and prefetch_legal(
        knobs.prefetch, default.prefetch, m, PRODUCTS * n, knobs.tile
    )


def _plain_legal(shape: ConvShape, target: Target, knobs: Knobs, default: Knobs) -> bool:
    tile, columns = knobs.tile, shape.filters // shape.groups
    usual = _plain_knobs(shape, target)
    size = (shape.out_width, columns, target, shape.window)
    if tile != usual.tile and not tile_legal(tile, *size, pairs=has_pairs(shape)):
        return False
    plan, tiles = plan_of(shape, knobs), -(-shape.out_width // tile.rows) * tile.rows
    asks = asks_ahead(shape, target, knobs) and prefetch_legal(
        knobs.prefetch, usual.prefetch, knobs.task_rows * tiles, columns, tile
    )
    return (asks or knobs.prefetch == usual.prefetch) and (
        not knobs.weights_stay or (plan.parts > 1 and plan.blocks * shape.batch > 1)
    )
