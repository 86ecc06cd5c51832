"""Dense convolution without a column buffer: one matrix product per output row.

The pixels of an output row are the rows of the product, and a filter's taps are runs of its
k dimension, read where they lie: channels-last, kw pixels are one contiguous run per ky;
channels-first (the model's input), kw elements per channel and ky.  With padding a task first
copies the rows it needs between zero borders, so no inner loop tests for the border.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from efcompile.kernels.activations import CHEAP
from efcompile.kernels.balance import even_size
from efcompile.kernels.conv_shape import ConvShape, conv_shape, plain_conv
from efcompile.kernels.emit import Emitter, Expr, View, int32
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.register_tile import SHORT, Tile, choose_tile, pack_panels
from efcompile.kernels.rows import PaddedRow, copy_padded, gemm_rows, smaller
from efcompile.kernels.spaces import (
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
from efcompile.kernels.tile import Segment, Sink, store_epilogue
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


@dataclass(frozen=True)
class _Source:
    """Where a task's input rows lie: row 0 at `view`, elements between rows and planes."""

    view: View
    pitch: int
    plane: int


def shape_of(call: OpCall) -> ConvShape | str:
    """The shape of a dense `conv2d` call, or why it is not one for this kernel."""
    shape = conv_shape(call)
    if not isinstance(shape, str) and shape.groups != 1:
        return f"the convolution has {shape.groups} groups"
    return shape


def _input_rows(shape: ConvShape, rows: Any) -> Any:
    """Input rows under `rows` output rows."""
    return (rows - 1) * shape.stride[0] + shape.dilation[0] * (shape.kernel[0] - 1) + 1


def _padded_row(shape: ConvShape) -> PaddedRow:
    used = (shape.out_width - 1) * shape.stride[1] + shape.dilation[1] * (shape.kernel[1] - 1) + 1
    element = 1 if shape.nchw else shape.channels
    return PaddedRow.around(shape.width, shape.padding[1], used, element)


def _copied_floats(shape: ConvShape, rows: int) -> int:
    """Scratch for the padded input of `rows` output rows; none is needed without padding."""
    if shape.padding == (0, 0):
        return 0
    planes, input_rows = shape.channels if shape.nchw else 1, int(_input_rows(shape, rows))
    return planes * input_rows * _padded_row(shape).pitch


def _depth(shape: ConvShape) -> int:
    """Elements of k."""
    return shape.kernel[0] * shape.kernel[1] * shape.channels // shape.groups


def _tile(shape: ConvShape, target: Target) -> Tile:
    """The product's tile: a small one where windows overlap along channels-first rows on x86.
    A pixel's elements there are its neighbour's too, and LLVM keeps them between the two; with
    all 32 registers taken, sums would go to the stack and back."""
    overlap = shape.nchw and shape.stride[1] < shape.kernel[1]
    depth = min(_depth(shape), SHORT) if overlap else _depth(shape)
    return choose_tile(shape.out_width, shape.filters // shape.groups, target, depth)


def default_knobs(shape: ConvShape, target: Target) -> Knobs:
    """Row blocks whose input takes a quarter of L2; where the weights are larger than L2, as
    few blocks as L2 allows, so that they stream from memory few times, and panels are shared
    out instead."""
    columns = shape.filters // shape.groups
    tile = _tile(shape, target)
    depth = _depth(shape)
    panels = max(1, columns // tile.panel)
    heavy = 4 * depth * columns > target.l2_bytes // 2 and shape.groups == 1
    budget = target.l2_bytes // (2 if heavy else 4) // 4
    rows = 1
    while rows < shape.out_height and _copied_floats(shape, rows + 1) <= budget:
        rows += 1
    cores = target.cores
    wanted = max(1, 2 * cores // shape.batch)
    # On NEON asking ahead showed as instructions only.
    ahead = not tile.lane_a
    if not heavy:
        most = min(rows, -(-shape.out_height // wanted))
        task_rows = even_size(shape.out_height, most, cores, shape.batch)
        return Knobs(tile, task_rows, panels, ahead, weights_stay=False)
    blocks = -(-shape.out_height // rows)
    if panels * blocks * shape.batch % cores:
        rows = min(rows, -(-shape.out_height // cores))
        blocks = -(-shape.out_height // rows)
    most = max(1, panels * blocks // wanted)
    task_panels = even_size(panels, most, cores, blocks * shape.batch)
    return Knobs(tile, rows, task_panels, ahead, weights_stay=False)


@dataclass(frozen=True)
class _Plan:
    """How the knobs cut the product: whole panels, blocks of rows and parts of the panels,
    scratch."""

    panels: int
    blocks: int
    parts: int
    tasks: int
    stage_floats: int
    scratch_bytes: int


def _plan(shape: ConvShape, knobs: Knobs) -> _Plan:
    tile = knobs.tile
    panels = shape.filters // shape.groups // tile.panel
    blocks = -(-shape.out_height // knobs.task_rows)
    parts = max(1, -(-panels // knobs.task_panels))
    stage = 0 if shape.act in CHEAP else tile.rows * tile.panel
    floats = stage + _copied_floats(shape, knobs.task_rows)
    return _Plan(panels, blocks, parts, shape.batch * blocks * parts, stage, 4 * floats)


def _asks_ahead(shape: ConvShape, target: Target, knobs: Knobs) -> bool:
    """Whether prefetch is worth it: tasks of few tiles find the weights where the task before
    left them, if L2 holds them, and several requests a step make LLVM move sums to the stack."""
    tile, columns = knobs.tile, shape.filters // shape.groups
    passes = knobs.task_rows * -(-shape.out_width // tile.rows)
    cold = 4 * _depth(shape) * columns > target.l2_bytes
    return cold or 16 * passes >= tile.unroll * tile.panel


def choices(shape: ConvShape, target: Target) -> dict[str, tuple[int, ...]]:
    """Tiles, cuts around the default's, prefetch, order."""
    default = default_knobs(shape, target)
    columns, plan = shape.filters // shape.groups, _plan(shape, default)
    return {
        **tile_choices("tile", shape.out_width, columns, target),
        **unroll_choices("tile", target),
        "task_rows": sizes(shape.out_height, default.task_rows),
        "task_panels": sizes(plan.panels, default.task_panels),
        **prefetch_choices(target),
        "weights_stay": (0, 1),
    }


def legal(shape: ConvShape, target: Target, knobs: Knobs) -> bool:
    """Whether the tile fits, the cut is one, and no knob is turned that changes nothing."""
    tile, columns, default = knobs.tile, shape.filters // shape.groups, default_knobs(shape, target)
    fitting = tile == default.tile or tile_legal(
        tile, shape.out_width, columns, target, _depth(shape)
    )
    if not (fitting and min(knobs.task_rows, knobs.task_panels) >= 1):
        return False
    plan, usual = _plan(shape, knobs), _plan(shape, default)
    tiles = -(-shape.out_width // tile.rows) * tile.rows
    asks = _asks_ahead(shape, target, knobs) and prefetch_legal(
        knobs.prefetch, default.prefetch, knobs.task_rows * tiles, columns, tile
    )
    return (
        knobs.task_rows <= shape.out_height
        and knobs.task_panels <= max(1, plan.panels)
        and unroll_legal(tile, side_by_side=False)
        and (asks or knobs.prefetch == default.prefetch)
        and (not knobs.weights_stay or (plan.parts > 1 and plan.blocks * shape.batch > 1))
        and scratch_legal(plan.scratch_bytes, usual.scratch_bytes, target)
        and tasks_legal(plan.tasks, usual.tasks, target)
    )


def pack(call: OpCall, shape: ConvShape, knobs: Knobs) -> list[str | Array]:
    """x, each group's weight panels (k in the order of the runs), bias, residual."""
    weight = call.value("weight")
    if shape.nchw:
        weight = weight.transpose(0, 3, 1, 2)
    per_group = weight.reshape(shape.groups, shape.filters // shape.groups, -1)
    packed = np.concatenate([pack_panels(group, knobs.tile.panel) for group in per_group])
    return ["x", packed, *call.present("bias", "residual")]


def build(symbol: str, shape: ConvShape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, packed weight, [bias], [residual], out."""
    tile = knobs.tile
    e = Emitter()
    x, weight = e.pointer("x"), e.pointer("weight")
    bias, residual = e.optional("bias", shape.bias), e.optional("residual", shape.residual)
    out, scratch = e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")

    plan = _plan(shape, knobs)
    blocks, parts = plan.blocks, plan.parts
    columns, depth = shape.filters // shape.groups, _depth(shape)
    out_row = shape.out_width * shape.filters
    asks = knobs.prefetch and _asks_ahead(shape, target, knobs)
    chained = parts > 1 and not knobs.weights_stay

    with e.loop(end - begin, "task", begin) as task:
        if knobs.weights_stay:
            every = shape.batch * blocks
            part, block = e.hold(task // every), e.hold(task % every)
        else:
            part, block = e.hold(task % parts), e.hold(task // parts)
        image, first = e.hold(block // blocks), e.hold(block % blocks * knobs.task_rows)
        rows = e.hold(smaller(shape.out_height - first, knobs.task_rows))
        # The copy outlives the task: the next parts of the block find it, on the same thread.
        fresh = (part == int32(0)) | (task == begin) if chained else None
        source = _source(e, shape, target, x, scratch.at(plan.stage_floats), image, first, rows,
                         knobs.task_rows, fresh)  # fmt: skip
        target_rows = e.let((image * shape.out_height + first) * out_row)
        with e.loop(shape.groups, "group") as group:
            column = group * columns

            def sink(y: Expr, offset: Expr = target_rows + column) -> Sink:
                base = e.let(offset + y * out_row)
                rest = None if residual is None else residual.at(base)
                return store_epilogue(out.at(base), shape.filters, shape.act, rest)

            gemm_rows(
                e,
                tile,
                columns,
                shape.out_width,
                rows,
                share(e, part, parts, knobs.task_panels, plan.panels),
                _segments(e, shape, source, group),
                weight.at(column * depth),
                None if bias is None else bias.at(column),
                sink,
                scratch if plan.stage_floats else None,
                knobs.task_rows if asks else None,
            )
    return Built(e.finish(symbol), plan.scratch_bytes, plan.tasks, chained)


def _source(
    e: Emitter,
    shape: ConvShape,
    target: Target,
    x: View,
    scratch: View,
    image: Expr,
    first: Expr,
    rows: Expr,
    most_rows: int,
    fresh: Expr | None,
) -> _Source:
    """The input under output rows ``first .. first + rows``: in place, or copied with zeros
    around it (only when `fresh`, if given)."""
    row_floats = shape.width * (1 if shape.nchw else shape.channels)
    planes = shape.channels if shape.nchw else 1
    plane = shape.height * row_floats
    whole = x.at(e.let(image * (planes * plane)))
    if shape.padding == (0, 0):
        top = e.let(first * (shape.stride[0] * row_floats))
        return _Source(whole.at(top), row_floats, plane)
    padded = _padded_row(shape)
    copied_plane = _input_rows(shape, most_rows) * padded.pitch

    def copy_planes() -> None:
        top = e.let(first * shape.stride[0] - shape.padding[0])
        count = e.let(_input_rows(shape, rows))
        with e.loop(planes, "plane") as index:
            copy_padded(
                e,
                padded,
                whole.at(index * plane),
                row_floats,
                shape.height,
                top,
                count,
                scratch.at(index * copied_plane),
                target.lanes,
            )

    if fresh is None:
        copy_planes()
    else:
        with e.when(fresh):
            copy_planes()
    return _Source(scratch, padded.pitch, copied_plane)


def _segments(e: Emitter, shape: ConvShape, source: _Source, group: Expr) -> Any:
    """The runs of k under one output row of `group`, in the order of the packed weight."""
    channels = shape.channels // shape.groups
    (kernel_h, kernel_w), (step_h, step_w) = shape.kernel, shape.dilation
    pixel = 1 if shape.nchw else shape.channels
    down, across = (kernel_h, step_h * source.pitch), (kernel_w, step_w * pixel)
    taps = source.view.at(group * (channels * (source.plane if shape.nchw else 1)))
    stride = shape.stride[1] * pixel
    if shape.nchw:
        runs = Segment(taps, stride, 1, ((channels, source.plane), down, across))
    else:
        runs = Segment(taps, stride, channels, (down, across))
    if across[1] == runs.depth:
        # The innermost runs touch: they are one longer run.
        runs = replace(runs, depth=runs.depth * kernel_w, repeats=runs.repeats[:-1])

    def under(y: Expr) -> Sequence[Segment]:
        return [replace(runs, a=runs.a.at(e.let(y * (shape.stride[0] * source.pitch))))]

    return under


KERNEL = Kernel(
    "conv_direct", "conv2d", shape_of, plain_conv, default_knobs, pack, build, choices, legal
)
