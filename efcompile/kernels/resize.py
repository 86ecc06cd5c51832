"""Nearest and bilinear resizing of channels-last images, through tables of rows and columns."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch

from efcompile.kernels.activations import VECTOR
from efcompile.kernels.emit import Emitter, Expr, View, float32, splat
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall, contiguous
from efcompile.kernels.reference import te_activation, te_function
from efcompile.kernels.refusal import refusal
from efcompile.kernels.resize_doubled import doubled_row, doubles
from efcompile.kernels.runs import over_span, pieces
from efcompile.kernels.span import Span
from efcompile.kernels.store_ahead import outgrows
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
    doubled: bool = False
    """Whether the columns are doubled, see `resize_doubled`."""


@dataclass(frozen=True)
class Knobs:
    """`vectors` of `lanes` at a time: independent work, against what is left of the channels.
    A row of the result is a task."""

    lanes: int
    vectors: int


def shape_of(call: OpCall) -> Shape | str:
    """The shape of a `resize` call, or why it is not one for this kernel."""
    x, args = call.operand("x"), call.args
    if args["mode"] not in ("nearest", "bilinear"):
        return f"no code for the mode {args['mode']}"
    batch, height, width, channels = x.shape
    size = (call.out.shape[1], call.out.shape[2])
    reason = refusal(call)
    if reason is not None:
        return reason
    (first, second), weight = tables(call)[2:]
    doubled = args["mode"] == "bilinear" and doubles(first, second, weight, width)
    return Shape(args["mode"], batch, height, width, channels, size, args["act"], doubled)


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


def choices(shape: Shape, target: Target) -> dict[str, tuple[int, ...]]:
    """Vectors at a time."""
    return {"vectors": tuple(range(1, _most_vectors(shape, target) + 1))}


def legal(shape: Shape, target: Target, knobs: Knobs) -> bool:
    """Whether the vectors are as many as a pixel has, or fewer."""
    return knobs.lanes == target.lanes and 1 <= knobs.vectors <= _most_vectors(shape, target)


def _most_vectors(shape: Shape, target: Target) -> int:
    return max(1, min(8, shape.channels // target.lanes))


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
    row_weight = e.optional("row_weight", bilinear)
    column = e.pointer("column", "int32")
    column_weight = e.optional("column_weight", bilinear)
    out, scratch = e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    height, width = shape.size

    with e.loop(end - begin, "task", begin) as task:
        oy = e.let(task % height)
        image = x.at(e.let(task // height) * (shape.height * shape.width * shape.channels))
        lines = [image.at(e.let(e.load(row, oy + k * height))) for k in range(1 + bilinear)]
        down = e.let(e.load(row_weight, oy)) if row_weight else None
        result = out.at(e.let(task * (width * shape.channels)))

        if down is None or column_weight is None:
            _picked(e, shape, knobs, lines[0], column, result)
        elif _by_two(shape, knobs):
            each_vector = partial(_each_vector, e, shape.channels, knobs)
            doubled_row(
                e, shape.width, shape.channels, shape.act, each_vector, lines, down, column_weight,
                result, scratch, outgrows(shape.batch * height * width * shape.channels, target),
            )  # fmt: skip
        else:
            _blended_down(e, shape, knobs, lines, down, scratch)
            _blended_across(e, shape, knobs, scratch, column, column_weight, result)
    columns = 0 if not bilinear else 1 if _by_two(shape, knobs) else shape.width
    return Built(e.finish(symbol), 4 * columns * shape.channels, shape.batch * height)


def _by_two(shape: Shape, knobs: Knobs) -> bool:
    """Whether columns are made two at a time.  Two activations at once take more registers than
    NEON has: 3 to 13 % more instructions."""
    return shape.doubled and knobs.lanes > 4


def _picked(e: Emitter, shape: Shape, knobs: Knobs, line: View, column: View, out: View) -> None:
    """A row of the result, each pixel from the column of `line` that it is nearest to."""
    with e.loop(shape.size[1], "ox") as ox:
        source, target = line.at(e.let(e.load(column, ox))), out.at(e.let(ox * shape.channels))

        def move(at: Expr, lanes: int) -> None:
            value = e.let(e.load(source, at, lanes))
            e.store(target, at, VECTOR[shape.act](e, value, lanes), lanes)

        _each_vector(e, shape.channels, knobs, move)


def _blended_down(
    e: Emitter, shape: Shape, knobs: Knobs, lines: list[View], down: Expr, out: View
) -> None:
    """``out[width, channels]``: two rows blended by the weight of the second."""

    def blend(at: Expr, lanes: int) -> None:
        upper, lower = (e.let(e.load(line, at, lanes)) for line in lines)
        e.store(out, at, _blend(e, upper, lower, down, lanes), lanes)

    _each_vector(e, shape.width * shape.channels, knobs, blend)


def _blended_across(
    e: Emitter,
    shape: Shape,
    knobs: Knobs,
    line: View,
    column: View,
    column_weight: View,
    out: View,
) -> None:
    """A row of the result, each pixel from two columns of `line` [width, channels]."""
    width = shape.size[1]
    with e.loop(width, "ox") as ox:
        sides = [line.at(e.let(e.load(column, ox + k * width))) for k in range(2)]
        across, target = e.let(e.load(column_weight, ox)), out.at(e.let(ox * shape.channels))

        def blend(at: Expr, lanes: int) -> None:
            left, right = (e.let(e.load(side, at, lanes)) for side in sides)
            value = _blend(e, left, right, across, lanes)
            e.store(target, at, VECTOR[shape.act](e, value, lanes), lanes)

        _each_vector(e, shape.channels, knobs, blend)


def _each_vector(e: Emitter, count: int, knobs: Knobs, code: Callable[[Expr, int], None]) -> None:
    """``code(at, lanes)`` for the vectors that cover `count` elements."""

    def group(at: Expr, size: int) -> None:
        for offset, lanes in pieces(size, knobs.lanes):
            code(at + offset, lanes)

    unit = knobs.vectors * knobs.lanes
    over_span(e, count, unit, Span.whole(count, unit), group)


def _blend(e: Emitter, a: Expr, b: Expr, weight: Expr, lanes: int) -> Expr:
    """``a (1 - weight) + b weight``, not ``a + (b - a) weight``: infinity must not meet itself."""
    rest = e.let(float32(1.0) - weight)
    return e.let(a * splat(rest, lanes) + b * splat(weight, lanes))


KERNEL = Kernel("resize", "resize", shape_of, plain, default_knobs, pack, build, choices, legal)
