"""Global average pooling, with a layer norm before or after it, and the classifier."""

from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels import sweep
from efcompile.kernels.emit import Emitter, Expr, View, float32, splat
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.layer_norm import normalise_row
from efcompile.kernels.prefetch import Prefetch
from efcompile.kernels.reduce import moments
from efcompile.kernels.reference import te_function, te_normalise
from efcompile.kernels.refusal import refusal
from efcompile.kernels.register_tile import Tile, choose_tile, pack_panels
from efcompile.kernels.segment import Segment
from efcompile.kernels.spaces import (
    prefetch_choices,
    prefetch_legal,
    sizes,
    tasks_legal,
    tile_choices,
    tile_legal,
    unroll_choices,
    unroll_legal,
)
from efcompile.kernels.span import Span, share
from efcompile.kernels.tile import gemm, store_epilogue
from efcompile.targets.target import Target
from efcompile.tvm_api import te

NORMS = ("none", "before", "after")


@dataclass(frozen=True)
class Shape:
    """``pool(x[images, positions, channels]) @ weight[classes, channels].T + bias``; `norm` as
    in the op."""

    images: int
    positions: int
    channels: int
    classes: int
    bias: bool
    norm: str
    eps: float


@dataclass(frozen=True)
class Knobs:
    """`tile`, panels per task, the loops over channels, and whether weights are asked for a
    panel ahead (the CPU guesses them itself, as they are read in order).

    The product reads each weight once, so memory bounds it.  The pooled vectors are made anew
    by each thread, at its first task: they cost next to nothing.
    """

    tile: Tile
    task_panels: int
    rows: sweep.Knobs
    prefetch: bool


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `pool_linear` call, or why it is not one for this kernel."""
    norm = call.args["norm"]
    if norm not in NORMS:
        return f"no norm is called {norm}"
    images, *positions, channels = call.operand("x").shape
    classes, bias = call.operand("weight").shape[0], call.args["bias"] is not None
    return refusal(call, ("weight", "bias")) or Shape(
        images, prod(positions), channels, classes, bias, norm, call.args["eps"]
    )


def plain(shape: Shape) -> Any:
    """x [images, positions, channels], weight [classes, channels], [bias [classes]] ->
    [images, classes]."""
    images, positions, channels = shape.images, shape.positions, shape.channels
    x = te.placeholder((images, positions, channels), name="x")
    weight = te.placeholder((shape.classes, channels), name="weight")
    operands = [x, weight]
    rows = te.compute(
        (images * positions, channels),
        lambda i, c: x[i // positions, i % positions, c],
        name="rows",
    )
    if shape.norm == "before":
        rows = te_normalise(rows, shape.eps)
    p = te.reduce_axis((0, positions), name="p")
    total = te.compute(
        (images, channels), lambda n, c: te.sum(rows[n * positions + p, c], p), name="pool"
    )
    pooled = te.compute(
        (images, channels), lambda n, c: total[n, c] / float(positions), name="pooled"
    )
    if shape.norm == "after":
        pooled = te_normalise(pooled, shape.eps)
    k = te.reduce_axis((0, channels), name="k")
    size = (images, shape.classes)
    y = te.compute(size, lambda n, m: te.sum(pooled[n, k] * weight[m, k], k), name="logits")
    if shape.bias:
        bias, product = te.placeholder((shape.classes,), name="bias"), y
        operands.append(bias)
        y = te.compute(size, lambda n, m: product[n, m] + bias[m], name="biased")
    return te_function([*operands, y])


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """Two tasks per core."""
    tile = choose_tile(shape.images, shape.classes, target)
    panels = max(1, shape.classes // tile.panel)
    task_panels = -(-panels // min(panels, 2 * target.cores))
    return Knobs(tile, task_panels, sweep.default_knobs(target), prefetch=False)


def _tasks(shape: Shape, knobs: Knobs) -> int:
    return max(1, -(-(shape.classes // knobs.tile.panel) // knobs.task_panels))


def choices(shape: Shape, target: Target) -> dict[str, tuple[int, ...]]:
    """Tiles, cuts around the default's, loops, prefetch."""
    default = default_knobs(shape, target)
    return {
        **tile_choices("tile", shape.images, shape.classes, target),
        **unroll_choices("tile", target),
        "task_panels": sizes(shape.classes // default.tile.panel, default.task_panels),
        "rows.vectors": sweep.VECTORS,
        **prefetch_choices(target),
    }


def legal(shape: Shape, target: Target, knobs: Knobs) -> bool:
    """Whether the tile fits, the cut is one, and prefetch is chosen where there is any."""
    tile, default = knobs.tile, default_knobs(shape, target)
    return (
        tile_legal(tile, shape.images, shape.classes, target)
        and unroll_legal(tile, side_by_side=False)
        and 1 <= knobs.task_panels <= max(1, shape.classes // tile.panel)
        and sweep.legal(knobs.rows, target)
        and prefetch_legal(knobs.prefetch, default.prefetch, shape.images, shape.classes, tile)
        and tasks_legal(_tasks(shape, knobs), _tasks(shape, default), target)
    )


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """x, the weight's panels, [bias]."""
    weight = pack_panels(call.value("weight"), knobs.tile.panel)
    return [call.argument("x"), weight, *call.present("bias")]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, packed weight, [bias], out."""
    tile, channels = knobs.tile, shape.channels
    e = Emitter()
    x, weight = e.pointer("x"), e.pointer("weight")
    bias = e.optional("bias", shape.bias)
    out, pooled = e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    panels, tasks = shape.classes // tile.panel, _tasks(shape, knobs)
    ahead = Prefetch.over(shape.images, shape.classes, tile)

    with e.loop(end - begin, "task", begin) as task:
        with e.when(task == begin), e.loop(shape.images, "image") as image:
            source = x.at(e.let(image * (shape.positions * channels)))
            _pool(e, shape, knobs.rows, source, pooled.at(e.let(image * channels)))
        gemm(
            e,
            tile,
            shape.classes,
            shape.images,
            Span.whole(shape.images, tile.rows),
            share(e, task, tasks, knobs.task_panels, panels),
            [Segment(pooled, channels, channels)],
            weight,
            bias,
            store_epilogue(out, shape.classes, "none", None),
            prefetch=ahead if knobs.prefetch else None,
        )
    return Built(e.finish(symbol), 4 * shape.images * channels, tasks)


def _pool(e: Emitter, shape: Shape, knobs: sweep.Knobs, x: View, pooled: View) -> None:
    """One image's pooled vector."""
    channels, factor = shape.channels, 1 / shape.positions

    def clear(c: Expr, lanes: int) -> None:
        e.store(pooled, c, float32(0.0, lanes), lanes)

    def scale(c: Expr, lanes: int) -> None:
        e.store(pooled, c, e.load(pooled, c, lanes) * float32(factor, lanes), lanes)

    sweep.sweep_all(e, channels, knobs, clear)
    with e.loop(shape.positions, "position") as position:
        row = x.at(e.let(position * channels))
        moment = None
        if shape.norm == "before":
            moment = moments(e, row, channels, knobs.lanes, shape.eps)

        def accumulate(c: Expr, lanes: int) -> None:
            value = e.load(row, c, lanes)
            if moment is not None:
                value = (value - splat(moment[0], lanes)) * splat(moment[1], lanes)
            e.store(pooled, c, e.load(pooled, c, lanes) + value, lanes)

        sweep.sweep_all(e, channels, knobs, accumulate)
    sweep.sweep_all(e, channels, knobs, scale)
    if shape.norm == "after":
        normalise_row(e, pooled, pooled, channels, shape.eps, knobs)


KERNEL = Kernel(
    "pool_linear", "pool_linear", shape_of, plain, default_knobs, pack, build, choices, legal
)
