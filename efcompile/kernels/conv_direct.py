"""Dense convolution without a column buffer: one matrix product per output row.

The pixels of an output row are the rows of the product, and a filter's taps are runs of its
k dimension, read where they lie: channels-last, kw pixels are one contiguous run per ky;
channels-first (the model's input), kw elements per channel and ky.  Where padding is above and left
of the image only, the code leaves out its taps; else a task first copies the rows it needs between
zero borders, so no inner loop tests for the border.

Large ones are multiplied by `strassen` where the target allows it, see `conv_strassen`.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from efcompile.kernels import conv_strassen
from efcompile.kernels.conv_shape import ConvShape, conv_shape, plain_conv
from efcompile.kernels.conv_space import (
    Knobs,
    asks_ahead,
    choices,
    default_knobs,
    in_place,
    input_rows,
    legal,
    padded_row,
    plan_of,
)
from efcompile.kernels.emit import Emitter, Expr, View, int32
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.pairs import pack_borders
from efcompile.kernels.register_tile import pack_panels
from efcompile.kernels.rows import copy_padded, gemm_rows, larger, smaller
from efcompile.kernels.segment import Segment
from efcompile.kernels.span import share
from efcompile.kernels.tile import Sink, store_epilogue
from efcompile.targets.target import Target


@dataclass(frozen=True)
class _Task:
    """Output rows ``first .. first + rows`` (`most_rows` but in the last task) of an image;
    what is copied is to be copied only when `fresh`, if given."""

    shape: ConvShape
    image: Expr
    first: Expr
    rows: Expr
    most_rows: int
    fresh: Expr | None


@dataclass(frozen=True)
class _Source:
    """Where a task's input rows lie: row 0 at `view`, elements between rows and planes.  Up to
    `above` rows and, of each, `left` elements may be outside the image."""

    view: View
    pitch: int
    plane: int
    above: int = 0
    left: int = 0


def shape_of(call: OpCall) -> ConvShape | str:
    """The shape of a dense `conv2d` call, or why it is not one for this kernel."""
    shape = conv_shape(call)
    if not isinstance(shape, str) and shape.groups != 1:
        return f"the convolution has {shape.groups} groups"
    return shape


def pack(call: OpCall, shape: ConvShape, knobs: Knobs) -> list[str | Array]:
    """x, each group's weight panels (k in the order of the runs), bias, residual."""
    if knobs.strassen:
        return conv_strassen.pack(call, knobs.tile)
    weight = call.value("weight")
    if knobs.tile.pairs:
        above, left = shape.padding if in_place(shape) else (0, 0)
        bias, rms = call.constant("bias"), call.operand("x").rms
        product = pack_borders(weight, bias, knobs.tile, rms, above, left)
        return ["x", *product, *call.present("residual")]
    if shape.nchw:
        weight = weight.transpose(0, 3, 1, 2)
    per_group = weight.reshape(shape.groups, shape.filters // shape.groups, -1)
    packed = np.concatenate([pack_panels(group, knobs.tile.panel) for group in per_group])
    return ["x", packed, *call.present("bias", "residual")]


def build(symbol: str, shape: ConvShape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, packed weight, [bias], [residual], out."""
    tile = knobs.tile
    if knobs.strassen:
        return conv_strassen.build(
            symbol, shape, target, tile, knobs.task_rows, knobs.task_panels, knobs.prefetch
        )
    e = Emitter()
    x, weight = e.pointer("x"), e.pointer("weight")
    bias = e.optional("bias", shape.bias or tile.pairs)
    residual = e.optional("residual", shape.residual)
    out, scratch = e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")

    plan = plan_of(shape, knobs)
    blocks, parts = plan.blocks, plan.parts
    columns, depth = shape.filters // shape.groups, shape.window
    out_row = shape.out_width * shape.filters
    asks = knobs.prefetch and asks_ahead(shape, target, knobs)
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
        task_of = _Task(shape, image, first, rows, knobs.task_rows, fresh)
        copied, lanes = scratch.at(plan.stage_floats), target.lanes
        whole = x.at(e.let(image * (shape.channels * shape.height * shape.width)))
        if in_place(shape):
            source = _in_place(e, task_of, whole)
        else:
            source = _copied(e, task_of, whole, copied, lanes)
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
                _segments(e, task_of, source, group),
                weight.at(column * depth),
                None if bias is None else bias.at(column),
                sink,
                scratch if plan.stage_floats else None,
                knobs.task_rows if asks else None,
                copied.at(plan.copied_floats) if tile.pairs else None,
                _borders(e, task_of, source, bias)
                if tile.pairs and (source.above or source.left)
                else None,
            )
    return Built(e.finish(symbol), plan.scratch_bytes, plan.tasks, chained)


def _in_place(e: Emitter, task: _Task, whole: View) -> _Source:
    """The rows of the image `whole`, from where the first output row's window begins, if that is
    above the image too."""
    shape = task.shape
    row_floats = shape.width * (1 if shape.nchw else shape.channels)
    top = e.let((task.first * shape.stride[0] - shape.padding[0]) * row_floats)
    above, left = shape.padding[0], shape.padding[1] * (1 if shape.nchw else shape.channels)
    return _Source(whole.at(top - left), row_floats, shape.height * row_floats, above, left)


def _copied(e: Emitter, task: _Task, whole: View, scratch: View, lanes: int) -> _Source:
    """The rows under the task's in `scratch`, with zeros around them."""
    shape = task.shape
    row_floats = shape.width * (1 if shape.nchw else shape.channels)
    row = padded_row(shape)
    plane = input_rows(shape, task.most_rows) * row.pitch
    with nullcontext() if task.fresh is None else e.when(task.fresh):
        top = e.let(task.first * shape.stride[0] - shape.padding[0])
        count = e.let(input_rows(shape, task.rows))
        with e.loop(shape.channels if shape.nchw else 1, "plane") as index:
            copy_padded(
                e,
                row,
                whole.at(index * (shape.height * row_floats)),
                row_floats,
                shape.height,
                top,
                count,
                scratch.at(index * plane),
                lanes,
            )
    return _Source(scratch, row.pitch, plane)


def _borders(e: Emitter, task: _Task, source: _Source, constants: View | None) -> Any:
    """The constants of an output row and of its first pixel, see `pack_borders`."""
    size = task.shape.filters + 1

    def of(y: Expr) -> tuple[View, View]:
        assert constants is not None, "products of pairs have constants"
        row = constants.at(e.let(_skipped(e, task, source, y) * (2 * size)))
        return row, row.at(size)

    return of


def _skipped(e: Emitter, task: _Task, source: _Source, y: Expr) -> Expr:
    """Rows of the window of output row y that are above the image."""
    missing = e.let(source.above - (task.first + y) * task.shape.stride[0])
    return 0 if source.above == 0 else e.hold(larger(0, missing))


def _segments(e: Emitter, task: _Task, source: _Source, group: Expr) -> Any:
    """The runs of k under one output row of `group`, in the order of the packed weight."""
    shape = task.shape
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
        row = replace(runs, a=runs.a.at(e.let(y * (shape.stride[0] * source.pitch))))
        skipped = _skipped(e, task, source, y)
        return [replace(row, skipped=skipped, most_skipped=source.above, outside=source.left)]

    return under


KERNEL = Kernel(
    "conv_direct", "conv2d", shape_of, plain_conv, default_knobs, pack, build, choices, legal
)
