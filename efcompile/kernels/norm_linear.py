"""Layer norm and the linear layer behind it: rows are normalised into scratch, then multiplied."""

from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels import sweep
from efcompile.kernels.activations import CHEAP
from efcompile.kernels.emit import Emitter, int32, select
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.layer_norm import normalise_row
from efcompile.kernels.reference import te_activation, te_function, te_normalise
from efcompile.kernels.refusal import refusal
from efcompile.kernels.register_tile import Tile, choose_tile, pack_panels
from efcompile.kernels.side_by_side import lay_side_by_side, pays
from efcompile.kernels.span import share
from efcompile.kernels.tile import Prefetch, Segment, gemm, store_epilogue
from efcompile.targets.target import Target
from efcompile.tvm_api import te


@dataclass(frozen=True)
class Shape:
    """``act(normalise(x[m, k]) @ weight[n, k].T + bias)``."""

    m: int
    n: int
    k: int
    bias: bool
    eps: float
    act: str


@dataclass(frozen=True)
class Knobs:
    """`tile`, how many row tiles and panels make one task, the loops over a row, and whether the
    product reads its rows `side_by_side`.

    Tasks are ordered row block by row block: consecutive tasks of one block, which one thread
    runs, share its normalised rows.
    """

    tile: Tile
    task_row_tiles: int
    task_panels: int
    rows: sweep.Knobs
    side_by_side: bool


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `norm_linear` call, or why it is not one for this kernel."""
    n, k = call.operand("weight").shape
    rows, bias = prod(call.out.shape[:-1]), call.args["bias"] is not None
    return refusal(call, ("weight", "bias")) or Shape(
        rows, n, k, bias, call.args["eps"], call.args["act"]
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


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """Row blocks of a quarter of the L2 cache, cut by panels into two tasks per core."""
    tile = choose_tile(shape.m, shape.n, target, shape.k)
    row_tiles = max(1, shape.m // tile.rows)
    fitting = max(1, target.l2_bytes // 4 // (4 * shape.k * tile.rows))
    blocks = max(-(-row_tiles // fitting), min(row_tiles, target.cores))
    task_row_tiles = -(-row_tiles // blocks)
    panels = max(1, shape.n // tile.panel)
    groups = min(panels, max(1, -(-2 * target.cores // blocks)))
    aside = tile.lane_a and pays(shape.n, shape.k)
    return Knobs(tile, task_row_tiles, -(-panels // groups), sweep.default_knobs(target), aside)


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """x, the weight's panels, [bias]."""
    weight = pack_panels(call.value("weight"), knobs.tile.panel)
    return [call.argument("x"), weight, *call.present("bias")]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, packed weight, [bias], out."""
    tile, k = knobs.tile, shape.k
    e = Emitter()
    x, weight = e.pointer("x"), e.pointer("weight")
    bias = e.optional("bias", shape.bias)
    out, normal = e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")

    row_tiles, panels = shape.m // tile.rows, shape.n // tile.panel
    blocks = max(1, -(-row_tiles // knobs.task_row_tiles))
    groups = max(1, -(-panels // knobs.task_panels))
    block_rows = knobs.task_row_tiles * tile.rows
    most_rows = max(block_rows, shape.m - (blocks - 1) * block_rows)
    staged = shape.act not in CHEAP
    copied = normal.at(most_rows * k)
    stage = copied.at(most_rows * k) if knobs.side_by_side else copied

    with e.loop(end - begin, "task", begin) as task:
        block, group = e.let(task // groups), e.let(task % groups)
        first = e.hold(block * block_rows) if blocks > 1 else 0
        last = block == int32(blocks - 1)
        count = select(last, shape.m - first, int32(block_rows)) if blocks > 1 else shape.m
        block_tiles = share(e, block, blocks, knobs.task_row_tiles, row_tiles)
        operand = normal.at(0 - first * k)
        with e.when((group == int32(0)) | (task == begin)):
            with e.loop(count, "row") as row:
                source, target_row = x.at(e.let((first + row) * k)), normal.at(e.let(row * k))
                normalise_row(e, source, target_row, k, shape.eps, knobs.rows)
            if knobs.side_by_side:
                rows_of = copied.at(0 - first * k)
                lay_side_by_side(e, operand, shape.m, k, tile.rows, rows_of, block_tiles)
        if knobs.side_by_side:
            operand = copied.at(0 - first * k)
        gemm(
            e,
            tile,
            shape.n,
            shape.m,
            block_tiles,
            share(e, group, groups, knobs.task_panels, panels),
            [Segment(operand, k, k, side_by_side=knobs.side_by_side)],
            weight,
            bias,
            store_epilogue(out, shape.n, shape.act, None),
            stage if staged else None,
            prefetch=Prefetch.over(min(shape.m, block_rows), shape.n, tile),
        )
    floats = most_rows * k * (1 + knobs.side_by_side) + tile.rows * tile.panel * staged
    return Built(e.finish(symbol), 4 * floats, blocks * groups, chained=True)


KERNEL = Kernel("norm_linear", "norm_linear", shape_of, plain, default_knobs, pack, build)
