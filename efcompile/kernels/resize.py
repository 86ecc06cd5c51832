"""Nearest and bilinear resizing of channels-last images, through tables of rows and columns."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from efcompile.kernels.activations import VECTOR
from efcompile.kernels.emit import Emitter, Expr, View, float32, splat
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall, contiguous
from efcompile.kernels.reference import te_activation, te_function
from efcompile.kernels.refusal import refusal
from efcompile.kernels.runs import over_span, pieces
from efcompile.kernels.span import Span
from efcompile.targets.target import Target
from efcompile.tvm_api import te


@dataclass(frozen=True)
class Shape:
    """``act(resize(x))``: x [batch, height, width, channels] -> [batch, *size, channels]."""

    mode: Literal["nearest", "bilinear"]
    batch: int
    height: int
    width: int
    channels: int
    size: tuple[int, int]
    act: str


@dataclass(frozen=True)
class Knobs:
    """`vectors` of `lanes` at a time. A row of the result is a task."""

    lanes: int
    vectors: int


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `resize` call, or why it is not one for this kernel."""
    x, args = call.operand("x"), call.args
    if args["mode"] not in ("nearest", "bilinear"):
        return f"no code for the mode {args['mode']}"
    batch, height, width, channels = x.shape
    size = (call.out.shape[1], call.out.shape[2])
    return refusal(call) or Shape(args["mode"], batch, height, width, channels, size, args["act"])


def plain(shape: Shape) -> Any:
    """The algorithm, naively: x, then for rows and for columns the two indices [2, size]
    (int32) and the weight of the second [size] that `tables` makes -> [N, *size, C]."""
    image = te.placeholder((shape.batch, shape.height, shape.width, shape.channels), name="x")
    tables = []
    for name, size in zip(("row", "column"), shape.size, strict=True):
        tables.append(te.placeholder((2, size), name=name, dtype="int32"))
        tables.append(te.placeholder((size,), name=f"{name}_weight"))
    row, row_weight, column, column_weight = tables

    def element(n: Any, i: Any, j: Any, c: Any) -> Any:
        def across(r: Any) -> Any:
            a, b = (image[n, r, column[k, j], c] for k in range(2))
            return a * (1.0 - column_weight[j]) + b * column_weight[j]

        if shape.mode == "nearest":
            return image[n, row[0, i], column[0, j], c]
        return across(row[0, i]) * (1.0 - row_weight[i]) + across(row[1, i]) * row_weight[i]

    out = te.compute((shape.batch, *shape.size, shape.channels), element, name="resized")
    return te_function([image, *tables, te_activation(out, shape.act)])


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """Up to four vectors, evenly shared out over the channels."""
    vectors = max(1, shape.channels // target.lanes)
    return Knobs(target.lanes, -(-vectors // -(-vectors // 4)))


def tables(call: OpCall) -> list[Array]:
    """For rows, then for columns: the indices read [2, size] (int32) and the weight of the
    second [size] (zero throughout for nearest)."""
    made: list[Array] = []
    for axis in range(2):
        scale = call.args["scales"][axis] if call.args["scales"] else None
        size_in, size_out = call.operand("x").shape[axis + 1], call.out.shape[axis + 1]
        if call.args["mode"] == "nearest":
            first = _nearest(size_in, size_out, scale)
            second, weight = first, np.zeros(size_out)
        else:
            first, second, weight = _bilinear(size_in, size_out, call.args["align_corners"], scale)
        made += [contiguous(np.stack([first, second]), "int32"), contiguous(weight)]
    return made


def _nearest(size_in: int, size_out: int, scale: float | None) -> Array:
    """The index read at each position.  torch itself is asked, by resizing the positions: a
    last-bit difference in its rules would read another pixel."""
    positions = torch.arange(size_in, dtype=torch.float32).reshape(1, 1, size_in, 1)
    taken = torch.ops.aten.upsample_nearest2d.default(positions, [size_out, 1], scale, None)
    found: Array = taken.flatten().numpy()
    return found.astype(np.int32)


def _bilinear(
    size_in: int, size_out: int, align_corners: bool, scale: float | None
) -> tuple[Array, Array, Array]:
    """(first index, second, weight of the second) at each position, in torch's float32
    arithmetic; a given scale factor replaces the ratio of sizes."""
    at = np.arange(size_out, dtype=np.float32)
    if size_in == size_out:
        index = at.astype(np.int32)
        return index, index, np.zeros_like(at)
    if align_corners:
        source = at * np.float32((size_in - 1) / max(1, size_out - 1))
    else:
        ratio = np.float32(1 / scale if scale else size_in / size_out)
        source = np.maximum((at + np.float32(0.5)) * ratio - np.float32(0.5), np.float32(0))
    first = np.minimum(source.astype(np.int32), size_in - 1)
    second = np.minimum(first + 1, size_in - 1)
    return first, second, np.clip(source - first, 0, 1)


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """x and the tables, indices as element offsets."""
    row, row_weight, column, column_weight = tables(call)
    line = shape.width * shape.channels
    if shape.mode == "nearest":
        return ["x", row[0] * line, column[0] * shape.channels]
    return ["x", row * line, row_weight, column * shape.channels, column_weight]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, row offsets, [row weights], column offsets, [column weights], out."""
    e = Emitter()
    bilinear = shape.mode == "bilinear"
    x = e.pointer("x")
    row = e.pointer("row", "int32")
    row_weight = e.pointer("row_weight") if bilinear else None
    column = e.pointer("column", "int32")
    column_weight = e.pointer("column_weight") if bilinear else None
    out = e.pointer("out")
    e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    height, width = shape.size

    with e.loop(end - begin, "task", begin) as task:
        oy = e.let(task % height)
        image = x.at(e.let(task // height) * (shape.height * shape.width * shape.channels))
        lines = [image.at(e.let(e.load(row, oy + k * height))) for k in range(1 + bilinear)]
        down = e.let(e.load(row_weight, oy)) if row_weight else None
        with e.loop(width, "ox") as ox:
            starts = [e.let(e.load(column, ox + k * width)) for k in range(1 + bilinear)]
            corners = [line.at(start) for line in lines for start in starts]
            across = e.let(e.load(column_weight, ox)) if column_weight else None
            result = out.at((task * width + ox) * shape.channels)
            _pixel(e, shape, knobs, corners, down, across, result)
    return Built(e.finish(symbol), 0, shape.batch * height)


def _pixel(
    e: Emitter,
    shape: Shape,
    knobs: Knobs,
    corners: list[View],
    down: Expr,
    across: Expr,
    out: View,
) -> None:
    """All channels of one pixel: `corners` is the one read, or the four blended (upper left
    and right, lower left and right) with the weights of the lower and of the right."""

    def channels(at: Expr, size: int) -> None:
        for offset, lanes in pieces(size, knobs.lanes):
            values = [e.let(e.load(corner, at + offset, lanes)) for corner in corners]
            if shape.mode == "bilinear":
                upper = _blend(e, values[0], values[1], across, lanes)
                lower = _blend(e, values[2], values[3], across, lanes)
                values = [_blend(e, upper, lower, down, lanes)]
            e.store(out, at + offset, VECTOR[shape.act](e, values[0], lanes), lanes)

    unit = knobs.vectors * knobs.lanes
    over_span(e, shape.channels, unit, Span.whole(shape.channels, unit), channels)


def _blend(e: Emitter, a: Expr, b: Expr, weight: Expr, lanes: int) -> Expr:
    """``a (1 - weight) + b weight``, not ``a + (b - a) weight``: infinity must not meet itself."""
    rest = e.let(float32(1.0) - weight)
    return e.let(a * splat(rest, lanes) + b * splat(weight, lanes))


KERNEL = Kernel("resize", "resize", shape_of, plain, default_knobs, pack, build)
