"""Layer norm and the linear layer behind it: rows are normalised into scratch, then multiplied.

Large products are made by `strassen` where the target allows it, see `linear_strassen`; rows then
become the product's factors as they are normalised.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from efcompile.kernels import linear_strassen, sweep
from efcompile.kernels.activations import CHEAP
from efcompile.kernels.deferred import spare_registers
from efcompile.kernels.emit import Emitter, Expr, View, int32, select, splat
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.layer_norm import normalise_row
from efcompile.kernels.pairs import pack_product, store_left_sums
from efcompile.kernels.prefetch import Prefetch
from efcompile.kernels.reduce import moments
from efcompile.kernels.reference import te_activation, te_function, te_normalise
from efcompile.kernels.refusal import refusal
from efcompile.kernels.register_tile import Tile, choose_tile
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
    """``act(normalise(x[m, k]) @ weight[n, k].T + bias)``, the m rows of so many images."""

    images: int
    m: int
    n: int
    k: int
    bias: bool
    eps: float
    act: str


@dataclass(frozen=True)
class Knobs:
    """`tile`, how many row tiles and panels make one task, the loops over a row, whether the
    product reads its rows `side_by_side`, whether weights are asked for a panel ahead, and whether
    it is cut into quarters (`strassen`).

    Tasks are ordered row block by row block: consecutive tasks of one block, which one thread
    runs, share its normalised rows.  Tall blocks go over the weights seldom, short ones stay in
    small caches; many panels a task spare norms, few spread over the cores.  Of quarters `tile` is
    the tile and `task_panels` are the panels; a block is the largest with so many row tiles in
    its half.
    """

    tile: Tile
    task_row_tiles: int
    task_panels: int
    rows: sweep.Knobs
    side_by_side: bool
    prefetch: bool
    strassen: bool


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `norm_linear` call, or why it is not one for this kernel."""
    n, k = call.operand("weight").shape
    *rows, _ = call.out.shape
    bias = call.args["bias"] is not None
    return refusal(call, ("weight", "bias")) or Shape(
        rows[0] if rows else 1, prod(rows), n, k, bias, call.args["eps"], call.args["act"]
    )


def plain(shape: Shape) -> Any:
    """x [m, k], weight [n, k], [bias [n]] -> [m, n]."""
    x = te.placeholder((shape.m, shape.k), name="x")
    weight = te.placeholder((shape.n, shape.k), name="weight")
    normal = te_normalise(x, shape.eps)
    operands = [x, weight]
    k = te.reduce_axis((0, shape.k), name="depth")
    size = (shape.m, shape.n)
    y = te.compute(size, lambda i, j: te.sum(normal[i, k] * weight[j, k], k), name="sum")
    if shape.bias:
        bias, summed = te.placeholder((shape.n,), name="bias"), y
        operands.append(bias)
        y = te.compute(size, lambda i, j: summed[i, j] + bias[j], name="biased")
    return te_function([*operands, te_activation(y, shape.act)])


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


def plain_knobs(shape: Shape, target: Target) -> Knobs:
    """Row blocks of a part of the L2 cache, cut by panels into two tasks per core."""
    spare = spare_registers(shape.act, shape.k, target)
    tile = choose_tile(shape.m, shape.n, target, shape.k, pairs=True, spare=spare)
    row_tiles = max(1, shape.m // tile.rows)
    # Measured on Zen 5: 197 rows of 1.5 KB take 5 % less in one block than in two with GELU, and
    # 196 of 1.8 KB 7 % more without.
    part = 4 if shape.act in CHEAP else 3
    fitting = max(1, target.l2_bytes // part // (4 * shape.k * tile.rows))
    blocks = max(-(-row_tiles // fitting), min(row_tiles, target.cores))
    task_row_tiles = -(-row_tiles // blocks)
    panels = max(1, shape.n // tile.panel)
    groups = min(panels, max(1, -(-2 * target.cores // blocks)))
    aside = tile.lane_a and pays(shape.n, shape.k)
    return Knobs(
        tile,
        task_row_tiles,
        -(-panels // groups),
        sweep.default_knobs(target),
        aside,
        # On NEON asking ahead showed as instructions only.
        prefetch=not tile.lane_a,
        strassen=False,
    )


@dataclass(frozen=True)
class _Plan:
    """How the knobs cut the product: whole tiles and panels, blocks and groups of them, rows of
    a block and of the largest block (the last takes the remainder), scratch."""

    row_tiles: int
    panels: int
    blocks: int
    groups: int
    block_rows: int
    most_rows: int
    scratch_bytes: int

    @property
    def tasks(self) -> int:
        return self.blocks * self.groups


def _plan(shape: Shape, knobs: Knobs) -> _Plan:
    tile = knobs.tile
    row_tiles, panels = shape.m // tile.rows, shape.n // tile.panel
    blocks = max(1, -(-row_tiles // knobs.task_row_tiles))
    groups = max(1, -(-panels // knobs.task_panels))
    block_rows = knobs.task_row_tiles * tile.rows
    most_rows = max(block_rows, shape.m - (blocks - 1) * block_rows)
    stage = 0 if shape.act in CHEAP else tile.rows * tile.panel
    floats = most_rows * (shape.k * (1 + knobs.side_by_side) + tile.pairs) + stage
    return _Plan(row_tiles, panels, blocks, groups, block_rows, most_rows, 4 * floats)


def _cut(shape: Shape, target: Target, knobs: Knobs) -> linear_strassen.Cut | None:
    tiles, panels = knobs.task_row_tiles, knobs.task_panels
    return linear_strassen.legal_cut(_product(shape), knobs.tile, tiles, panels, target)


def _tasks_and_scratch(shape: Shape, target: Target, knobs: Knobs) -> tuple[int, int] | None:
    """How many tasks there are, and the bytes of scratch; None if there is no such cut."""
    plan = _cut(shape, target, knobs) if knobs.strassen else _plan(shape, knobs)
    return None if plan is None else (plan.tasks, plan.scratch_bytes)


def choices(shape: Shape, target: Target) -> dict[str, tuple[int, ...]]:
    """Tiles, cuts around the defaults, and where they make sense quarters, copies and prefetch."""
    default = plain_knobs(shape, target)
    plan = _plan(shape, default)
    copies = default.tile.lane_a and fits(shape.k)
    values = {
        **tile_choices("tile", shape.m, shape.n, target),
        **unroll_choices("tile", target, copies),
        **pair_choices("tile", target),
        "task_row_tiles": sizes(plan.row_tiles, default.task_row_tiles),
        "task_panels": sizes(plan.panels, default.task_panels),
        "rows.vectors": sweep.VECTORS,
        **({"side_by_side": (0, 1)} if copies else {}),
        **prefetch_choices(target, copies),
    }
    return linear_strassen.choices(_product(shape), target, values)


def legal(shape: Shape, target: Target, knobs: Knobs) -> bool:
    """Whether the tile fits, the cut is one, and no knob is turned that changes nothing."""
    default = default_knobs(shape, target)
    usual = _tasks_and_scratch(shape, target, default)
    if not (knobs.strassen or _plain_legal(shape, target, knobs, default.prefetch)):
        return False
    found = _tasks_and_scratch(shape, target, knobs)
    # The loops over a row of factors are `strassen.split`'s.
    if found is None or usual is None or (knobs.strassen and knobs.rows != default.rows):
        return False
    return (
        unroll_legal(knobs.tile, knobs.side_by_side)
        and (not knobs.side_by_side or aside_legal(knobs.tile, shape.k))
        and tasks_legal(found[0], usual[0], target)
        and scratch_legal(found[1], usual[1], target)
    )


def _plain_legal(shape: Shape, target: Target, knobs: Knobs, prefetch: bool) -> bool:
    """The same of a product that is not cut into quarters, where `prefetch` is usual."""
    spare = spare_registers(shape.act, shape.k, target)
    if not (
        tile_legal(knobs.tile, shape.m, shape.n, target, shape.k, pairs=True, spare=spare)
        and min(knobs.task_row_tiles, knobs.task_panels) >= 1
        and sweep.legal(knobs.rows, target)
    ):
        return False
    plan = _plan(shape, knobs)
    rows = min(shape.m, plan.block_rows)
    return (
        knobs.task_row_tiles <= max(1, plan.row_tiles)
        and knobs.task_panels <= max(1, plan.panels)
        and prefetch_legal(knobs.prefetch, prefetch, rows, shape.n, knobs.tile, knobs.side_by_side)
    )


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """x, the weight's panels, [bias]."""
    plain, tile = call.value("weight"), knobs.tile
    x = call.argument("x")
    if knobs.strassen:
        return [x, pack_factors(plain, tile), *call.present("bias")]
    # Of rows that are next to nothing the norm makes little, too.
    size = call.operand("x").rms
    rms = 1.0 if size is None else size / (size**2 + shape.eps) ** 0.5
    return [x, *pack_product(plain, call.constant("bias"), tile, rms)]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, packed weight, [bias], out."""
    tile, k = knobs.tile, shape.k
    e = Emitter()
    x, weight = e.pointer("x"), e.pointer("weight")
    bias = e.optional("bias", shape.bias or tile.pairs)
    out, normal = e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")

    if knobs.strassen:
        cut = _cut(shape, target, knobs)
        assert cut is not None, f"{knobs} are no cut of {shape}"

        def prepare(e: Emitter, row: View) -> Callable[[Expr, int], Expr]:
            mean, scale = moments(e, row, k, tile.lanes, shape.eps)
            return lambda value, lanes: (value - splat(mean, lanes)) * splat(scale, lanes)

        operands, tasks = (x, weight, bias, None), (begin, end)
        linear_strassen.emit(
            e, cut, operands, out, normal, tasks, shape.act, knobs.prefetch, prepare
        )
        return Built(e.finish(symbol), cut.scratch_bytes, cut.tasks, chained=True)

    plan = _plan(shape, knobs)
    blocks, groups, block_rows = plan.blocks, plan.groups, plan.block_rows
    ahead = Prefetch.over(min(shape.m, block_rows), shape.n, tile)
    copied = normal.at(plan.most_rows * k)
    pair_sums = copied.at(plan.most_rows * k) if knobs.side_by_side else copied
    stage = pair_sums.at(plan.most_rows) if tile.pairs else pair_sums

    with e.loop(end - begin, "task", begin) as task:
        block, group = e.let(task // groups), e.let(task % groups)
        first = e.hold(block * block_rows) if blocks > 1 else 0
        last = block == int32(blocks - 1)
        count = select(last, shape.m - first, int32(block_rows)) if blocks > 1 else shape.m
        block_tiles = share(e, block, blocks, knobs.task_row_tiles, plan.row_tiles)
        operand = normal.at(0 - first * k)
        left_sums = pair_sums.at(0 - first) if tile.pairs else None
        with e.when((group == int32(0)) | (task == begin)):
            with e.loop(count, "row") as row:
                source, target_row = x.at(e.let((first + row) * k)), normal.at(e.let(row * k))
                normalise_row(e, source, target_row, k, shape.eps, knobs.rows)
            if knobs.side_by_side:
                rows_of = copied.at(0 - first * k)
                lay_side_by_side(e, operand, shape.m, k, tile.rows, rows_of, block_tiles)
            plain = [Segment(operand, k, k)]
            store_left_sums(e, tile, shape.n, shape.m, block_tiles, plain, bias, left_sums)
        if knobs.side_by_side:
            operand = copied.at(0 - first * k)
        gemm(
            e,
            tile,
            shape.n,
            shape.m,
            block_tiles,
            share(e, group, groups, knobs.task_panels, plan.panels),
            [Segment(operand, k, k, side_by_side=knobs.side_by_side)],
            weight,
            bias,
            store_epilogue(out, shape.n, shape.act, None),
            None if shape.act in CHEAP else stage,
            prefetch=ahead if knobs.prefetch else None,
            left_sums=left_sums,
        )
    return Built(e.finish(symbol), plan.scratch_bytes, plan.tasks, chained=True)


KERNEL = Kernel(
    "norm_linear", "norm_linear", shape_of, plain, default_knobs, pack, build, choices, legal
)
