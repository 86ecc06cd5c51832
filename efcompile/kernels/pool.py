"""Average and maximum pooling over channels-last images.

A window that lies inside the image is unrolled; one that is cut by the border loops over the
taps it has, so no tap is ever tested.
"""

from dataclasses import dataclass
from typing import Any, Literal

from efcompile.kernels.emit import Emitter, Expr, View, float32, int32, select, splat
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.reference import te_function
from efcompile.kernels.runs import over_span, pieces
from efcompile.kernels.span import Span
from efcompile.targets.target import Target
from efcompile.tvm_api import te, tirx


@dataclass(frozen=True)
class Axis:
    """One spatial dimension: `size` in, `out` windows of `taps` elements, `dilation` apart,
    every `stride`, the first `pad` before the image."""

    size: int
    out: int
    taps: int
    stride: int
    pad: int
    dilation: int

    @property
    def whole(self) -> tuple[int, int]:
        """First and end of the windows that lie inside the image."""
        first = min(self.out, -(-self.pad // self.stride))
        last = (self.size - 1 - (self.taps - 1) * self.dilation + self.pad) // self.stride
        return first, max(first, min(self.out, last + 1))


@dataclass(frozen=True)
class Shape:
    """x [batch, y.size, x.size, channels] -> [batch, y.out, x.out, channels]; `counted`: the
    average counts the padding (but not what ceil_mode adds beyond it)."""

    kind: Literal["avg", "max"]
    batch: int
    y: Axis
    x: Axis
    channels: int
    counted: bool


@dataclass(frozen=True)
class Knobs:
    """`vectors` accumulators of `lanes` at a time: independent work, against what is left of the
    channels.  Windows of up to `unroll` taps are unrolled: fewer branches for more code.  A row
    of the result is a task."""

    lanes: int
    vectors: int
    unroll: int


@dataclass(frozen=True)
class _Window:
    """One axis of a window: `taps` elements from index `first`; `count` divides an average."""

    first: Expr
    taps: Expr
    count: Expr


def shape_of(call: OpCall) -> Shape | str:
    """The shape of an `avg_pool2d` or `max_pool2d` call, or why it is not one for this kernel."""
    x, args = call.operand("x"), call.args
    if 0 in call.out.shape:
        return "the result is empty"
    kernel = args["kernel"]
    stride, dilation = args["stride"] or kernel, args.get("dilation", (1, 1))
    y, x_axis = (
        Axis(
            x.shape[d + 1], call.out.shape[d + 1], kernel[d], stride[d], args["padding"][d],
            dilation[d],
        )
        for d in range(2)
    )  # fmt: skip
    kind: Literal["avg", "max"] = "avg" if call.op == "avg_pool2d" else "max"
    counted = bool(args.get("count_include_pad", False))
    return call.not_float32() or Shape(kind, x.shape[0], y, x_axis, x.shape[3], counted)


def plain(shape: Shape) -> Any:
    """The algorithm, naively: x [N, H, W, C] -> [N, OH, OW, C]."""
    y, x = shape.y, shape.x
    image = te.placeholder((shape.batch, y.size, x.size, shape.channels), name="x")
    ky, kx = te.reduce_axis((0, y.taps), name="ky"), te.reduce_axis((0, x.taps), name="kx")
    outside = float32(0.0 if shape.kind == "avg" else float("-inf"))

    def tap(n: Any, i: Any, j: Any, c: Any) -> Any:
        row = i * y.stride - y.pad + ky * y.dilation
        column = j * x.stride - x.pad + kx * x.dilation
        inside = tirx.all(row >= 0, row < y.size, column >= 0, column < x.size)
        return tirx.if_then_else(inside, image[n, row, column, c], outside)

    def count(axis: Axis, at: Any) -> Any:
        first = at * axis.stride - axis.pad
        if shape.counted:
            return tirx.min(first + axis.taps, axis.size + axis.pad) - first
        return tirx.min(first + axis.taps, axis.size) - tirx.max(first, 0)

    larger = te.comm_reducer(
        lambda a, b: tirx.Select(tirx.any(b > a, b != b), b, a),
        lambda dtype: outside,
        name="larger",
    )
    reduce = te.sum if shape.kind == "avg" else larger
    sizes = (shape.batch, y.out, x.out, shape.channels)
    out = te.compute(sizes, lambda *i: reduce(tap(*i), axis=[ky, kx]), name="reduced")
    if shape.kind == "avg":
        total = out
        out = te.compute(
            sizes,
            lambda n, i, j, c: total[n, i, j, c] / (count(y, i) * count(x, j)).astype("float32"),
            name="out",
        )
    return te_function([image, out])


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """Up to eight accumulators, evenly shared out over the channels."""
    vectors = max(1, shape.channels // target.lanes)
    blocks = -(-vectors // 8)
    return Knobs(target.lanes, -(-vectors // blocks), 25)


def choices(shape: Shape, target: Target) -> dict[str, tuple[int, ...]]:
    """Vectors at a time; the window unrolled or not."""
    most = -(-shape.channels // target.lanes)
    taps = shape.y.taps * shape.x.taps
    return {"vectors": tuple(range(1, min(most, _MOST_VECTORS) + 1)), "unroll": (0, taps)}


def legal(shape: Shape, target: Target, knobs: Knobs) -> bool:
    """Whether the sums, and a value each, stay in the registers, and the code short."""
    default = default_knobs(shape, target)
    taps = shape.y.taps * shape.x.taps
    return (
        knobs.lanes == target.lanes
        and (knobs.vectors == default.vectors or 1 <= knobs.vectors <= _MOST_VECTORS)
        and knobs.vectors <= max(1, -(-shape.channels // target.lanes))
        and 2 * knobs.vectors <= max(target.registers, 2 * default.vectors)
        and (knobs.unroll == default.unroll or knobs.unroll in (0, taps))
        and (knobs.unroll < taps or taps <= _MOST_UNROLLED)
    )


_MOST_VECTORS, _MOST_UNROLLED = 8, 64


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """x alone."""
    return ["x"]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, out."""
    e = Emitter()
    x, out = e.pointer("x"), e.pointer("out")
    e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    height, width, channels = shape.y, shape.x, shape.channels
    first, last = height.whole
    left, right = width.whole

    def row(rows: _Window, image: View, result: View, whole: bool) -> None:
        def pixels(start: int, stop: int, inside: bool) -> None:
            if start == stop:
                return
            with e.loop(stop - start, "ox", start) as ox:
                columns = (_whole if inside else _cut)(e, width, ox, shape.counted)
                _pixel(e, shape, knobs, rows, columns, image, result.at(ox * channels))

        if not whole:
            pixels(0, width.out, False)
            return
        pixels(0, left, False)
        pixels(left, right, True)
        pixels(right, width.out, False)

    with e.loop(end - begin, "task", begin) as task:
        oy = e.let(task % height.out)
        image = x.at(e.let(task // height.out) * (height.size * width.size * channels))
        result = out.at(task * (width.out * channels))
        if first < last:
            with e.when(tirx.all(oy >= first, oy < last)):
                row(_whole(e, height, oy, shape.counted), image, result, True)
        if first > 0 or last < height.out:
            with e.when(tirx.any(oy < first, oy >= last)):
                row(_cut(e, height, oy, shape.counted), image, result, False)
    return Built(e.finish(symbol), 0, shape.batch * height.out)


def _whole(e: Emitter, axis: Axis, at: Expr, counted: bool) -> _Window:
    """The window `at` when it lies inside the image."""
    return _Window(e.let(at * axis.stride - axis.pad), axis.taps, axis.taps)


def _cut(e: Emitter, axis: Axis, at: Expr, counted: bool) -> _Window:
    """The part of the window `at` that lies inside the image."""
    start = e.let(at * axis.stride - axis.pad)
    before = tirx.max(int32(0) - start, int32(0))
    reach = axis.size - start
    if axis.dilation > 1:
        before = (before + (axis.dilation - 1)) // axis.dilation
        reach = (reach + (axis.dilation - 1)) // axis.dilation
    skipped = e.let(before)
    taps = e.let(tirx.min(reach, int32(axis.taps)) - skipped)
    count = tirx.min(start + axis.taps, int32(axis.size + axis.pad)) - start if counted else taps
    return _Window(e.let(start + skipped * axis.dilation), taps, e.let(count))


def _pixel(
    e: Emitter, shape: Shape, knobs: Knobs, rows: _Window, columns: _Window, image: View, out: View
) -> None:
    """All channels of one pixel of the result."""
    taps = [rows.taps, columns.taps]
    unrolled = all(isinstance(t, int) for t in taps) and taps[0] * taps[1] <= knobs.unroll
    scale: Expr = None
    if shape.kind == "avg":
        count = rows.count * columns.count
        whole = isinstance(count, int)
        scale = float32(1 / count) if whole else e.let(float32(1.0) / count.astype("float32"))

    def channels(at: Expr, size: int) -> None:
        parts = pieces(size, knobs.lanes)
        start = float32(0.0 if shape.kind == "avg" else float("-inf"))
        sums = [e.register(lanes, value=splat(start, lanes)) for _, lanes in parts]

        def tap(ky: Expr, kx: Expr) -> None:
            y = rows.first + ky * shape.y.dilation
            pixel = y * shape.x.size + columns.first + kx * shape.x.dilation
            base = e.let(pixel * shape.channels + at)
            for register, (offset, lanes) in zip(sums, parts, strict=True):
                value = e.let(e.load(image, base + offset, lanes))
                e.set(register, _merge(shape.kind, e.get(register), value, lanes))

        if unrolled:
            for ky in range(taps[0]):
                for kx in range(taps[1]):
                    tap(ky, kx)
        else:
            with e.loop(taps[0], "ky") as ky, e.loop(taps[1], "kx") as kx:
                tap(ky, kx)
        for register, (offset, lanes) in zip(sums, parts, strict=True):
            value = e.get(register)
            e.store(
                out, at + offset, value if scale is None else value * splat(scale, lanes), lanes
            )

    unit = knobs.vectors * knobs.lanes
    over_span(e, shape.channels, unit, Span.whole(shape.channels, unit), channels)


def _merge(kind: str, so_far: Expr, value: Expr, lanes: int) -> Expr:
    """Add, or keep the larger; a NaN on either side stays."""
    if kind == "avg":
        return so_far + value
    larger = select(so_far >= value, so_far, value)
    # Either comparison is false of a NaN (``x != x`` would be folded away).
    return select(so_far <= float32(float("inf"), lanes), larger, so_far)


AVG, MAX = (
    Kernel("pool", op, shape_of, plain, default_knobs, pack, build, choices, legal)
    for op in ("avg_pool2d", "max_pool2d")
)
