"""Global average pooling and the classifier behind it, with a layer norm on either side of the
pooling: the pooled rows of a few images go to scratch, then through one matrix product."""

from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels import sweep
from efcompile.kernels.columns import column_sums
from efcompile.kernels.emit import Emitter, Expr, View, float32, int32, select, splat
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall, contiguous
from efcompile.kernels.layer_norm import normalise_row
from efcompile.kernels.reduce import moments
from efcompile.kernels.reference import te_function, te_normalise
from efcompile.kernels.tile import (
    Segment,
    Tile,
    choose_tile,
    gemm,
    pack_panels,
    share,
    store_epilogue,
    vector_widths,
)
from efcompile.targets.target import Target
from efcompile.tvm_api import te


@dataclass(frozen=True)
class Shape:
    """``mean over positions of x[images, positions, k], then @ weight[n, k].T + bias``, with a
    layer norm over k ``before`` the mean, ``after`` it, or ``none``."""

    images: int
    positions: int
    n: int
    k: int
    bias: bool
    norm: str
    eps: float


@dataclass(frozen=True)
class Knobs:
    """`tile`, how many row tiles (of images) and panels make one task, the `vectors` of channels
    summed together, and the loops over a pooled row.

    Tasks are ordered image block by image block: consecutive tasks of one block, which one
    thread runs, share its pooled rows.
    """

    tile: Tile
    task_row_tiles: int
    task_panels: int
    vectors: int
    rows: sweep.Knobs


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `pool_linear` call, or why it is not one for this kernel."""
    if call.constant("weight") is None:
        return "the weight is not a constant, so it cannot be packed"
    if call.args["bias"] is not None and call.constant("bias") is None:
        return "the bias is not a constant"
    images, *positions, k = call.operand("x").shape
    bias, n = call.args["bias"] is not None, call.out.shape[-1]
    norm, eps = call.args["norm"], call.args["eps"]
    return call.not_float32() or Shape(images, prod(positions), n, k, bias, norm, eps)


def plain(shape: Shape) -> Any:
    """x [images, positions, k], weight [n, k], [bias [n]] -> [images, n]."""
    x = te.placeholder((shape.images, shape.positions, shape.k), name="x")
    weight = te.placeholder((shape.n, shape.k), name="weight")
    operands, rows, size = [x, weight], x, (shape.images, shape.k)
    if shape.norm == "before":
        flat = te.compute(
            (shape.images * shape.positions, shape.k),
            lambda i, c: x[i // shape.positions, i % shape.positions, c],
            name="flat",
        )
        normal = te_normalise(flat, shape.eps)
        rows = te.compute(x.shape, lambda i, p, c: normal[i * shape.positions + p, c], name="rows")
    p = te.reduce_axis((0, shape.positions), name="position")
    total = te.compute(size, lambda i, c: te.sum(rows[i, p, c], p), name="pool")
    pooled = te.compute(size, lambda i, c: total[i, c] / float(shape.positions), name="mean_row")
    if shape.norm == "after":
        pooled = te_normalise(pooled, shape.eps)
    k = te.reduce_axis((0, shape.k), name="depth")
    out = (shape.images, shape.n)
    y = te.compute(out, lambda i, j: te.sum(pooled[i, k] * weight[j, k], k), name="sum")
    if shape.bias:
        bias, summed = te.placeholder((shape.n,), name="bias"), y
        operands.append(bias)
        y = te.compute(out, lambda i, j: summed[i, j] + bias[j], name="biased")
    return te_function([*operands, y])


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """One row tile of images a task, and panel groups for two tasks per core, as far as pooling
    again in every thread stays cheaper than the product it shares out."""
    tile = choose_tile(shape.images, shape.n, target)
    blocks = max(1, shape.images // tile.rows)
    panels = max(1, shape.n // tile.panel)
    passes = 3 if shape.norm == "before" else 1
    product = shape.n * min(tile.rows, shape.images)
    pooling = passes * shape.positions * min(tile.rows, shape.images)
    groups = min(panels, -(-2 * target.cores // blocks), max(1, product // pooling))
    return Knobs(tile, 1, -(-panels // groups), 4, sweep.default_knobs(target))


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """x, the weight's panels, [bias]."""
    weight, bias = call.constant("weight"), call.constant("bias")
    assert weight is not None
    operands: list[str | Array] = [call.argument("x"), pack_panels(weight, knobs.tile.panel)]
    return operands if bias is None else [*operands, contiguous(bias)]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, packed weight, [bias], out."""
    tile, k = knobs.tile, shape.k
    e = Emitter()
    x, weight = e.pointer("x"), e.pointer("weight")
    bias = e.pointer("bias") if shape.bias else None
    out, pooled = e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")

    row_tiles, panels = shape.images // tile.rows, shape.n // tile.panel
    blocks = max(1, -(-row_tiles // knobs.task_row_tiles))
    groups = max(1, -(-panels // knobs.task_panels))
    block_rows = knobs.task_row_tiles * tile.rows
    most_rows = max(block_rows, shape.images - (blocks - 1) * block_rows)

    with e.loop(end - begin, "task", begin) as task:
        block, group = e.let(task // groups), e.let(task % groups)
        first = e.hold(block * block_rows) if blocks > 1 else 0
        last = block == int32(blocks - 1)
        count = select(last, shape.images - first, int32(block_rows)) if blocks > 1 else most_rows
        with e.when((group == int32(0)) | (task == begin)), e.loop(count, "image") as image:
            source = x.at(e.let((first + image) * (shape.positions * k)))
            _pool(e, source, pooled.at(e.let(image * k)), pooled.at(most_rows * k), shape, knobs)
        gemm(
            e,
            tile,
            shape.n,
            shape.images,
            share(e, block, blocks, knobs.task_row_tiles, row_tiles),
            share(e, group, groups, knobs.task_panels, panels),
            [Segment(pooled.at(0 - first * k), k, k)],
            weight,
            bias,
            store_epilogue(out, shape.n, "none", None),
        )
    statistics = 2 * shape.positions if shape.norm == "before" else 0
    return Built(e.finish(symbol), 4 * (most_rows * k + statistics), blocks * groups)


def _pool(e: Emitter, x: View, pooled: View, statistics: View, shape: Shape, knobs: Knobs) -> None:
    """One image's mean over positions, normalised where the shape says; `statistics` holds the
    mean and the scale of each position, for a norm before the pooling."""
    k, lanes = shape.k, knobs.rows.lanes
    if shape.norm == "before":
        with e.loop(shape.positions, "position") as position:
            mean, scale = moments(e, x.at(e.let(position * k)), k, lanes, shape.eps)
            e.store(statistics, position * 2, mean)
            e.store(statistics, position * 2 + 1, scale)

    def block(first: Expr, widths: tuple[int, ...]) -> None:
        def load(row: Expr, column: int, width: int) -> Expr:
            value = e.load(x, row * k + first + column, width)
            if shape.norm != "before":
                return value
            mean, scale = (e.load(statistics, row * 2 + i) for i in (0, 1))
            return (value - splat(mean, width)) * splat(scale, width)

        start = first
        for value, width in zip(column_sums(e, shape.positions, widths, load), widths, strict=True):
            e.store(pooled, start, value * float32(1 / shape.positions, width), width)
            start = start + width

    size = lanes * knobs.vectors
    if k >= size:
        with e.loop(k // size, "channels") as index:
            block(e.let(index * size), (lanes,) * knobs.vectors)
    if k % size:
        block(k - k % size, vector_widths(k % size, lanes))
    if shape.norm == "after":
        normalise_row(e, pooled, pooled, k, shape.eps, knobs.rows)


KERNEL = Kernel("pool_linear", "pool_linear", shape_of, plain, default_knobs, pack, build)
