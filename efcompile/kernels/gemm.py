"""Linear layers and 1x1 convolutions: one matrix product with its epilogue.

Large products are made by `strassen` where the target allows it, see `linear_strassen`.
"""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from efcompile.kernels import linear_strassen
from efcompile.kernels.activations import CHEAP
from efcompile.kernels.balance import even_size
from efcompile.kernels.emit import Emitter, int32
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.pairs import pack_product, store_left_sums
from efcompile.kernels.prefetch import Prefetch
from efcompile.kernels.reference import te_activation, te_function
from efcompile.kernels.refusal import refusal
from efcompile.kernels.register_tile import Tile
from efcompile.kernels.segment import Segment
from efcompile.kernels.side_by_side import fits, lay_side_by_side, pays
from efcompile.kernels.spaces import (
    aside_legal,
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
from efcompile.kernels.span import share
from efcompile.kernels.strassen import pack_factors
from efcompile.kernels.tile import gemm, store_epilogue
from efcompile.targets.target import Target
from efcompile.tvm_api import te


@dataclass(frozen=True)
class Shape:
    """``act(x[m, k] @ weight[n, k].T + bias) + residual``, the m rows of so many images."""

    images: int
    m: int
    n: int
    k: int
    bias: bool
    residual: bool
    act: str


@dataclass(frozen=True)
class Knobs:
    """`tile`, how many row tiles and panels make one task, whether rows are copied to lie
    `side_by_side`, whether weights are asked for a panel ahead (`prefetch`), the order of the
    tasks, and whether the product is cut into quarters (`strassen`).

    Large tasks share what they read between many tiles, small ones spread over the cores and
    stay in small caches.  A copy costs a third of an instruction an element, and spares NEON
    loads.  Asking ahead hides the way of weights from memory, and is for nothing where they lie
    in L1.  Tasks go panel group by panel group, so a group's weights stay in the L2 cache while
    all row blocks go by; with `rows_stay` block by block: the rows stay, and the weights go by.
    Of quarters `tile` is the tile and `task_panels` are the panels; a block is the largest with
    so many row tiles in its half, and its rows stay.
    """

    tile: Tile
    task_row_tiles: int
    task_panels: int
    side_by_side: bool
    prefetch: bool
    rows_stay: bool
    strassen: bool


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `linear` call, or why it is not one for this kernel."""
    n, k = call.operand("weight").shape
    bias, residual = (call.args[name] is not None for name in ("bias", "residual"))
    *rows, _ = call.out.shape
    return refusal(call, ("weight", "bias")) or Shape(
        rows[0] if rows else 1, prod(rows), n, k, bias, residual, call.args["act"]
    )


def plain(shape: Shape) -> Any:
    """The algorithm, naively: x [m, k], weight [n, k], bias [n], residual [m, n] -> [m, n]."""
    x = te.placeholder((shape.m, shape.k), name="x")
    weight = te.placeholder((shape.n, shape.k), name="weight")
    operands = [x, weight]
    k = te.reduce_axis((0, shape.k), name="kk")
    y = te.compute((shape.m, shape.n), lambda i, j: te.sum(x[i, k] * weight[j, k], k), name="sum")
    if shape.bias:
        bias = te.placeholder((shape.n,), name="bias")
        operands.append(bias)
        summed = y
        y = te.compute((shape.m, shape.n), lambda i, j: summed[i, j] + bias[j], name="biased")
    y = te_activation(y, shape.act)
    if shape.residual:
        residual = te.placeholder((shape.m, shape.n), name="residual")
        operands.append(residual)
        active = y
        y = te.compute((shape.m, shape.n), lambda i, j: active[i, j] + residual[i, j], name="out")
    return te_function([*operands, y])


def _product(shape: Shape) -> linear_strassen.Product:
    return linear_strassen.Product(shape.images, shape.m, shape.n, shape.k)


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """`plain_knobs`, or those of quarters where they pay."""
    knobs = plain_knobs(shape, target)
    cut = linear_strassen.best_cut(_product(shape), target)
    if cut is None or not cut.pays(knobs.tile, _plan(shape, knobs).tasks, target):
        return knobs
    return replace(
        knobs,
        tile=cut.tile,
        task_row_tiles=cut.task_row_tiles,
        task_panels=cut.task_panels,
        strassen=True,
    )


_BLOCK = 8
"""Part of L2 that a block of rows takes which all panels go by."""


def plain_knobs(shape: Shape, target: Target) -> Knobs:
    """Panel groups of half the L2 cache; row blocks that leave a few tasks per core.  Where
    rows had better lie side by side, one group or one block if its operand is small."""
    tile = linear_strassen.choose_plain_tile(shape.m, shape.n, shape.k, target)
    if tile.ask_l2:
        return _tall_knobs(shape, target, tile)
    panel_bytes = 4 * shape.k * tile.panel
    panels = max(1, shape.n // tile.panel)
    task_panels = min(panels, max(1, target.l2_bytes // 2 // panel_bytes))
    groups = -(-panels // task_panels)
    row_tiles = max(1, shape.m // tile.rows)
    wanted = max(1, 4 * target.cores // groups)
    if row_tiles < wanted and groups < 4 * target.cores:
        task_panels = max(1, -(-panels * min(row_tiles, wanted) // (4 * target.cores)))
    task_panels = even_size(panels, task_panels, target.cores, -(-wanted // groups))
    groups = -(-panels // task_panels)
    most = row_tiles // max(1, 4 * target.cores // groups)
    task_row_tiles = even_size(row_tiles, most, target.cores, groups)

    def knobs(task_row_tiles: int, task_panels: int, side_by_side: bool) -> Knobs:
        # On NEON asking ahead showed as instructions only.
        ahead = not tile.lane_a
        return Knobs(
            tile,
            task_row_tiles,
            task_panels,
            side_by_side,
            ahead,
            rows_stay=False,
            strassen=False,
        )

    row_tile_bytes = 4 * shape.k * tile.rows
    far = row_tile_bytes * row_tiles > target.l2_bytes // 2 and panel_bytes * panels <= (
        target.l2_bytes // 2
    )
    if far and not tile.lane_a:
        # Rows that would not stay in L2 while every panel goes by, and panels that do.
        most = target.l2_bytes // _BLOCK // row_tile_bytes
        return knobs(even_size(row_tiles, most, target.cores), panels, False)
    if not (tile.lane_a and pays(shape.n, shape.k)):
        return knobs(task_row_tiles, task_panels, False)
    # With one block of rows a thread copies them once, else for every group of panels.
    if task_row_tiles == row_tiles or pays(task_panels * tile.panel, shape.k):
        return knobs(task_row_tiles, task_panels, True)
    if 4 * shape.k * shape.n <= 2 * target.l2_bytes and row_tiles >= target.cores:
        return knobs(max(1, row_tiles // (4 * target.cores)), panels, True)
    if 4 * shape.k * shape.m <= 2 * target.l2_bytes:
        return knobs(row_tiles, task_panels, True)
    return knobs(task_row_tiles, task_panels, False)


def _tall_knobs(shape: Shape, target: Target, tile: Tile) -> Knobs:
    """Blocks of as many rows as stay in L2 beside panels, for cores that ask weights into it.

    A panel that comes from memory is then met by many rows of tiles, which is time for the next.
    Of 49 rows in one block instead of one tile's a block, products take 10 to 30 % less."""
    panels, row_tiles = max(1, shape.n // tile.panel), max(1, shape.m // tile.rows)
    row_tile_bytes, panel_bytes = 4 * shape.k * tile.rows, 4 * shape.k * tile.panel
    fitting = max(1, target.l2_bytes // 4 // row_tile_bytes)
    # With two panels a core and more, cores share the panels; with fewer, the rows too.
    few = target.cores if panels < 2 * target.cores else 1
    blocks = max(-(-row_tiles // fitting), min(few, row_tiles))
    task_row_tiles = -(-row_tiles // blocks)
    most = panels if blocks == 1 else max(1, target.l2_bytes // 2 // panel_bytes)
    if target.cores > 1:
        most = min(most, max(1, panels * blocks // (4 * target.cores)))
    task_panels = even_size(panels, most, target.cores, blocks)
    return Knobs(tile, task_row_tiles, task_panels, False, True, rows_stay=False, strassen=False)


@dataclass(frozen=True)
class _Plan:
    """How the knobs cut the product: whole tiles and panels, blocks and groups of them, rows of
    a block and of the largest block (the last takes the remainder), floats of scratch."""

    row_tiles: int
    panels: int
    row_blocks: int
    groups: int
    block_rows: int
    most_rows: int
    stage_floats: int
    copied_floats: int

    @property
    def tasks(self) -> int:
        return self.groups * self.row_blocks

    @property
    def scratch_bytes(self) -> int:
        return 4 * (self.stage_floats + self.copied_floats)


def _plan(shape: Shape, knobs: Knobs) -> _Plan:
    tile = knobs.tile
    row_tiles, panels = shape.m // tile.rows, shape.n // tile.panel
    row_blocks = max(1, -(-row_tiles // knobs.task_row_tiles))
    groups = max(1, -(-panels // knobs.task_panels))
    block_rows = knobs.task_row_tiles * tile.rows
    most_rows = max(block_rows, shape.m - (row_blocks - 1) * block_rows)
    return _Plan(
        row_tiles,
        panels,
        row_blocks,
        groups,
        block_rows,
        most_rows,
        stage_floats=0 if shape.act in CHEAP else tile.rows * tile.panel,
        copied_floats=most_rows * shape.k if knobs.side_by_side else most_rows * tile.pairs,
    )


def _cut(shape: Shape, target: Target, knobs: Knobs) -> linear_strassen.Cut | None:
    tiles, panels = knobs.task_row_tiles, knobs.task_panels
    return linear_strassen.legal_cut(_product(shape), knobs.tile, tiles, panels, target)


def _tasks_and_scratch(shape: Shape, target: Target, knobs: Knobs) -> tuple[int, int] | None:
    """How many tasks there are, and the bytes of scratch; None if there is no such cut."""
    plan = _cut(shape, target, knobs) if knobs.strassen else _plan(shape, knobs)
    return None if plan is None else (plan.tasks, plan.scratch_bytes)


def choices(shape: Shape, target: Target) -> dict[str, tuple[int, ...]]:
    """Tiles, cuts around the defaults, order, and where they make sense quarters, copies and
    prefetch."""
    default = plain_knobs(shape, target)
    plan = _plan(shape, default)
    copies = default.tile.lane_a and fits(shape.k)
    values = {
        **tile_choices("tile", shape.m, shape.n, target),
        **unroll_choices("tile", target, copies),
        **pair_choices("tile", target),
        "task_row_tiles": sizes(plan.row_tiles, default.task_row_tiles),
        "task_panels": sizes(plan.panels, default.task_panels),
        **({"side_by_side": (0, 1)} if copies else {}),
        **prefetch_choices(target, copies),
        "rows_stay": (0, 1),
    }
    return linear_strassen.choices(_product(shape), target, values)


def legal(shape: Shape, target: Target, knobs: Knobs) -> bool:
    """Whether the tile fits, the cut is one, and no knob is turned that changes nothing."""
    default = default_knobs(shape, target)
    usual = _tasks_and_scratch(shape, target, default)
    if not (knobs.strassen or _plain_legal(shape, target, knobs, default.prefetch)):
        return False
    found = _tasks_and_scratch(shape, target, knobs)
    if found is None or usual is None or (knobs.strassen and knobs.rows_stay):
        return False
    return (
        unroll_legal(knobs.tile, knobs.side_by_side)
        and (not knobs.side_by_side or aside_legal(knobs.tile, shape.k))
        and tasks_legal(found[0], usual[0], target)
        and scratch_legal(found[1], usual[1], target)
    )


def _plain_legal(shape: Shape, target: Target, knobs: Knobs, prefetch: bool) -> bool:
    """The same of a product that is not cut into quarters, where `prefetch` is usual."""
    if not (
        tile_legal(knobs.tile, shape.m, shape.n, target, shape.k, pairs=True)
        and min(knobs.task_row_tiles, knobs.task_panels) >= 1
    ):
        return False
    plan = _plan(shape, knobs)
    rows = min(shape.m, plan.block_rows)
    return (
        knobs.task_row_tiles <= max(1, plan.row_tiles)
        and knobs.task_panels <= max(1, plan.panels)
        and prefetch_legal(knobs.prefetch, prefetch, rows, shape.n, knobs.tile, knobs.side_by_side)
        and (not knobs.rows_stay or (plan.groups > 1 and plan.row_blocks > 1))
    )


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """x, the weight's panels, bias, residual."""
    plain, tile = call.value("weight"), knobs.tile
    if knobs.strassen:
        return ["x", pack_factors(plain, tile), *call.present("bias", "residual")]
    return [
        "x",
        *pack_product(plain, call.constant("bias"), tile, call.operand("x").rms),
        *call.present("residual"),
    ]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, packed weight, [bias], [residual], out."""
    tile = knobs.tile
    e = Emitter()
    x, weight = e.pointer("x"), e.pointer("weight")
    bias = e.optional("bias", shape.bias or (tile.pairs and not knobs.strassen))
    residual = e.optional("residual", shape.residual)
    out, scratch = e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")

    if knobs.strassen:
        cut = _cut(shape, target, knobs)
        assert cut is not None, f"{knobs} are no cut of {shape}"
        operands = (x, weight, bias, residual)
        tasks = (begin, end)
        linear_strassen.emit(e, cut, operands, out, scratch, tasks, shape.act, knobs.prefetch)
        return Built(e.finish(symbol), cut.scratch_bytes, cut.tasks, chained=True)

    plan = _plan(shape, knobs)
    ahead = Prefetch.over(min(shape.m, plan.block_rows), shape.n, tile)
    # What outlives its task, a copy or rows' sums, is found by the thread's next one of the block.
    made = knobs.side_by_side or tile.pairs
    kept = made and (plan.row_blocks == 1 or knobs.rows_stay)

    with e.loop(end - begin, "task", begin) as task:
        if knobs.rows_stay:
            block, group = e.let(task // plan.groups), e.let(task % plan.groups)
            fresh = (group == int32(0)) | (task == begin)
        else:
            group, block = e.let(task // plan.row_blocks), e.let(task % plan.row_blocks)
            fresh = task == begin
        row_tiles_of = share(e, block, plan.row_blocks, knobs.task_row_tiles, plan.row_tiles)
        source, left_sums = x, None
        if knobs.side_by_side:
            source = scratch.at(plan.stage_floats - block * (plan.block_rows * shape.k))
        if tile.pairs:
            left_sums = scratch.at(plan.stage_floats - block * plan.block_rows)
        segments = [Segment(source, shape.k, shape.k, side_by_side=knobs.side_by_side)]
        with e.when(fresh) if kept else nullcontext():
            if knobs.side_by_side:
                lay_side_by_side(e, x, shape.m, shape.k, tile.rows, source, row_tiles_of)
            store_left_sums(e, tile, shape.n, shape.m, row_tiles_of, segments, bias, left_sums)
        gemm(
            e,
            tile,
            shape.n,
            shape.m,
            row_tiles_of,
            share(e, group, plan.groups, knobs.task_panels, plan.panels),
            segments,
            weight,
            bias,
            store_epilogue(out, shape.n, shape.act, residual),
            scratch if plan.stage_floats else None,
            prefetch=ahead if knobs.prefetch else None,
            left_sums=left_sums,
        )
    return Built(e.finish(symbol), plan.scratch_bytes, plan.tasks, chained=kept)


KERNEL = Kernel("gemm", "linear", shape_of, plain, default_knobs, pack, build, choices, legal)
