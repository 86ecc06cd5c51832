"""Batched matrix products of two activations, the right one read in place."""

from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels.broadcast import Axis, merged_axes, offsets
from efcompile.kernels.emit import Emitter
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.reference import te_function
from efcompile.kernels.register_tile import Tile, choose_tile
from efcompile.kernels.segment import Segment
from efcompile.kernels.spaces import (
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


@dataclass(frozen=True)
class Shape:
    """``a[batch, m, k] @ b[batch, k, n]``; `axes` say how the batch dimensions broadcast, their
    strides counted in matrices."""

    axes: tuple[Axis, ...]
    m: int
    n: int
    k: int


@dataclass(frozen=True)
class Knobs:
    """`tile`, and row tiles per task: many go over the right matrix seldom, few spread over the
    cores."""

    tile: Tile
    task_row_tiles: int


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `matmul` call, or why it is not one for this kernel."""
    a, b = call.operand("a").shape, call.operand("b").shape
    if len(a) < 2 or len(b) < 2:
        return "an operand is a vector"
    axes = merged_axes(call.out.shape[:-2], a[:-2], b[:-2])
    return call.not_float32() or Shape(axes, a[-2], b[-1], a[-1])


def plain(shape: Shape) -> Any:
    """a [batch axes (1 where broadcast), m, k], b [batch axes, k, n] -> [batch axes, m, n]."""
    axes, rank = shape.axes, len(shape.axes)
    a = te.placeholder([*(x.size if x.a else 1 for x in axes), shape.m, shape.k], name="a")
    b = te.placeholder([*(x.size if x.b else 1 for x in axes), shape.k, shape.n], name="b")
    k = te.reduce_axis((0, shape.k), name="kk")

    def product(*index: Any) -> Any:
        *batch, i, j = index
        left = [batch[d] if axes[d].a else 0 for d in range(rank)]
        right = [batch[d] if axes[d].b else 0 for d in range(rank)]
        return te.sum(a(*left, i, k) * b(*right, k, j), k)

    sizes = [*(x.size for x in axes), shape.m, shape.n]
    return te_function([a, b, te.compute(sizes, product, name="product")])


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """One task per batch element, or a few where there are fewer than two per core."""
    tile = choose_tile(shape.m, shape.n, target)
    parts = max(1, 2 * target.cores // prod(axis.size for axis in shape.axes))
    return Knobs(tile, max(1, shape.m // tile.rows // parts))


def _parts(shape: Shape, knobs: Knobs) -> int:
    """Tasks of a batch element."""
    return max(1, -(-(shape.m // knobs.tile.rows) // knobs.task_row_tiles))


def choices(shape: Shape, target: Target) -> dict[str, tuple[int, ...]]:
    """Tiles, and parts around the default's."""
    default = default_knobs(shape, target)
    return {
        **tile_choices("tile", shape.m, shape.n, target),
        **unroll_choices("tile", target),
        "task_row_tiles": sizes(shape.m // default.tile.rows, default.task_row_tiles),
    }


def legal(shape: Shape, target: Target, knobs: Knobs) -> bool:
    """Whether the tile fits and the parts are some, and enough."""
    tile, default = knobs.tile, default_knobs(shape, target)
    batches = prod(axis.size for axis in shape.axes)
    return (
        tile_legal(tile, shape.m, shape.n, target)
        and unroll_legal(tile, side_by_side=False)
        and 1 <= knobs.task_row_tiles <= max(1, shape.m // tile.rows)
        and tasks_legal(batches * _parts(shape, knobs), batches * _parts(shape, default), target)
    )


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """a, b."""
    return [call.argument("a"), call.argument("b")]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: a, b, out."""
    tile = knobs.tile
    e = Emitter()
    a, b, out = e.pointer("a"), e.pointer("b"), e.pointer("out")
    e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    batches = prod(axis.size for axis in shape.axes)
    row_tiles = shape.m // tile.rows
    parts = _parts(shape, knobs)

    with e.loop(end - begin, "task", begin) as task:
        batch, part = e.let(task // parts), e.let(task % parts)
        left, right = offsets(e, shape.axes, batch)
        gemm(
            e,
            tile,
            shape.n,
            shape.m,
            share(e, part, parts, knobs.task_row_tiles, row_tiles),
            Span.whole(shape.n, tile.panel),
            [Segment(a.at(e.hold(left * (shape.m * shape.k))), shape.k, shape.k)],
            b.at(e.hold(right * (shape.k * shape.n))),
            None,
            store_epilogue(
                out.at(e.hold(batch * (shape.m * shape.n))), shape.n, "none", residual=None
            ),
            weight_stride=shape.n,
        )
    return Built(e.finish(symbol), 0, batches * parts)


KERNEL = Kernel("matmul", "matmul", shape_of, plain, default_knobs, pack, build, choices, legal)
