"""Linear layers and 1x1 convolutions: one matrix product with its epilogue."""

from contextlib import nullcontext
from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels.activations import CHEAP
from efcompile.kernels.balance import even_size
from efcompile.kernels.emit import Emitter
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.reference import te_activation, te_function
from efcompile.kernels.refusal import refusal
from efcompile.kernels.register_tile import Tile, choose_tile, pack_panels
from efcompile.kernels.side_by_side import lay_side_by_side, pays
from efcompile.kernels.span import share
from efcompile.kernels.tile import Prefetch, Segment, gemm, store_epilogue
from efcompile.targets.target import Target
from efcompile.tvm_api import te


@dataclass(frozen=True)
class Shape:
    """``act(x[m, k] @ weight[n, k].T + bias) + residual``."""

    m: int
    n: int
    k: int
    bias: bool
    residual: bool
    act: str


@dataclass(frozen=True)
class Knobs:
    """`tile`, how many row tiles and panels make one task, and whether rows are copied to lie
    `side_by_side`.

    Tasks are ordered panel group by panel group, so a group's weights stay in the L2 cache
    while all row blocks go by.
    """

    tile: Tile
    task_row_tiles: int
    task_panels: int
    side_by_side: bool


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `linear` call, or why it is not one for this kernel."""
    n, k = call.operand("weight").shape
    bias, residual = (call.args[name] is not None for name in ("bias", "residual"))
    return refusal(call, ("weight", "bias")) or Shape(
        prod(call.out.shape[:-1]), n, k, bias, residual, call.args["act"]
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


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """Panel groups of half the L2 cache; row blocks that leave a few tasks per core.  Where
    rows had better lie side by side, one group or one block if its operand is small."""
    tile = choose_tile(shape.m, shape.n, target, shape.k)
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
    if not (tile.lane_a and pays(shape.n, shape.k)):
        return Knobs(tile, task_row_tiles, task_panels, False)
    # With one block of rows a thread copies them once, else for every group of panels.
    if task_row_tiles == row_tiles or pays(task_panels * tile.panel, shape.k):
        return Knobs(tile, task_row_tiles, task_panels, True)
    if 4 * shape.k * shape.n <= 2 * target.l2_bytes and row_tiles >= target.cores:
        return Knobs(tile, max(1, row_tiles // (4 * target.cores)), panels, True)
    if 4 * shape.k * shape.m <= 2 * target.l2_bytes:
        return Knobs(tile, row_tiles, task_panels, True)
    return Knobs(tile, task_row_tiles, task_panels, False)


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """x, the weight's panels, bias, residual."""
    weight = pack_panels(call.value("weight"), knobs.tile.panel)
    return ["x", weight, *call.present("bias", "residual")]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, packed weight, [bias], [residual], out."""
    tile = knobs.tile
    e = Emitter()
    x, weight = e.pointer("x"), e.pointer("weight")
    bias, residual = e.optional("bias", shape.bias), e.optional("residual", shape.residual)
    out, scratch = e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")

    staged = shape.act not in CHEAP
    row_tiles, panels = shape.m // tile.rows, shape.n // tile.panel
    row_blocks = max(1, -(-row_tiles // knobs.task_row_tiles))
    groups = max(1, -(-panels // knobs.task_panels))
    stage_floats = tile.rows * tile.panel if staged else 0
    block_rows = knobs.task_row_tiles * tile.rows
    most_rows = max(block_rows, shape.m - (row_blocks - 1) * block_rows)

    with e.loop(end - begin, "task", begin) as task:
        group, block = e.let(task // row_blocks), e.let(task % row_blocks)
        row_tiles_of = share(e, block, row_blocks, knobs.task_row_tiles, row_tiles)
        source = x
        if knobs.side_by_side:
            source = scratch.at(stage_floats - block * (block_rows * shape.k))
            with e.when(task == begin) if row_blocks == 1 else nullcontext():
                lay_side_by_side(e, x, shape.m, shape.k, tile.rows, source, row_tiles_of)
        gemm(
            e,
            tile,
            shape.n,
            shape.m,
            row_tiles_of,
            share(e, group, groups, knobs.task_panels, panels),
            [Segment(source, shape.k, shape.k, side_by_side=knobs.side_by_side)],
            weight,
            bias,
            store_epilogue(out, shape.n, shape.act, residual),
            scratch if staged else None,
            prefetch=Prefetch.over(min(shape.m, block_rows), shape.n, tile),
        )
    copied_floats = most_rows * shape.k if knobs.side_by_side else 0
    return Built(
        e.finish(symbol),
        4 * (stage_floats + copied_floats),
        groups * row_blocks,
        chained=knobs.side_by_side and row_blocks == 1,
    )


KERNEL = Kernel("gemm", "linear", shape_of, plain, default_knobs, pack, build)
