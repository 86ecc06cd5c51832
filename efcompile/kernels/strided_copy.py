"""Permute, slice and expand: one copy through strides."""

from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels.emit import Emitter, Expr, View
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.reference import te_function
from efcompile.kernels.runs import GROUP, STORAGE, copy_span, fill_span, over_span
from efcompile.kernels.shuffles import interleave, transpose
from efcompile.kernels.spaces import tasks_legal
from efcompile.kernels.span import Span, share
from efcompile.targets.target import Target
from efcompile.tvm_api import te

Strides = tuple[int, ...]


@dataclass(frozen=True)
class Shape:
    """``out[i0, .., in] = x[offset + sum(i * strides)]``: `dims` are the result's, merged as
    far as the strides allow, `strides` in elements of the flat x of `extent` elements."""

    dims: tuple[int, ...]
    strides: Strides
    offset: int
    extent: int
    dtype: str

    @property
    def unit_dim(self) -> int | None:
        """The dimension along which x is contiguous, if any."""
        return self.strides.index(1) if 1 in self.strides else None


@dataclass(frozen=True)
class Knobs:
    """How the copy is cut.  `lanes` per vector; `tile` is the side of the square that is
    transposed in registers (0: rows are copied as they are): large ones read and write longer
    runs, for more shuffles and more that is done twice at the edges; the leading `task_dims`
    dimensions, times `parts` pieces of the split one, make the tasks."""

    lanes: int
    tile: int
    task_dims: int
    parts: int


def _shape(call: OpCall, strides: Strides, offset: int) -> Shape | str:
    x, out = call.operand("x"), call.out
    if x.dtype not in STORAGE:
        return f"elements of type {x.dtype} are not moved by this kernel"
    if prod(out.shape) == 0:
        return "the result is empty"
    merged: list[tuple[int, int]] = []
    for size, stride in zip(out.shape, strides, strict=True):
        if size == 1:
            continue
        if merged and merged[-1][1] == stride * size:
            merged[-1] = (merged[-1][0] * size, stride)
        else:
            merged.append((size, stride))
    dims, moved = zip(*(merged or [(1, 1)]), strict=True)
    return Shape(tuple(dims), tuple(moved), offset, prod(x.shape), STORAGE[x.dtype])


def contiguous_strides(shape: tuple[int, ...]) -> Strides:
    """Row-major strides of `shape` in elements."""
    return tuple(prod(shape[d + 1 :]) for d in range(len(shape)))


def permute_shape(call: OpCall) -> Shape | str:
    """The copy that a `permute` call is, or why it is none."""
    strides = contiguous_strides(call.operand("x").shape)
    return _shape(call, tuple(strides[d] for d in call.args["dims"]), 0)


def slice_shape(call: OpCall) -> Shape | str:
    """The copy that a `slice` call is, or why it is none."""
    shape = call.operand("x").shape
    strides = list(contiguous_strides(shape))
    dim = call.args["dim"] % len(shape)
    offset = call.args["start"] * strides[dim]
    strides[dim] *= call.args["step"]
    return _shape(call, tuple(strides), offset)


def expand_shape(call: OpCall) -> Shape | str:
    """The copy that an `expand` call is, or why it is none."""
    shape = call.operand("x").shape
    strides = contiguous_strides(shape)
    kept = [0 if size == 1 else stride for size, stride in zip(shape, strides, strict=True)]
    return _shape(call, (0,) * (len(call.out.shape) - len(shape)) + tuple(kept), 0)


def plain(shape: Shape) -> Any:
    """The algorithm, naively: x [extent] -> [dims]."""
    x = te.placeholder((shape.extent,), name="x", dtype=shape.dtype)

    def element(*at: Any) -> Any:
        index = sum(i * stride for i, stride in zip(at, shape.strides, strict=True))
        return x[index + shape.offset]

    return te_function([x, te.compute(shape.dims, element, name="out")])


def _sides(shape: Shape, target: Target) -> tuple[int, ...]:
    """Sides of the squares that can be transposed, if that is of use: where x is contiguous along
    another dimension than the last, and wide enough both ways."""
    unit, last = shape.unit_dim, len(shape.dims) - 1
    if unit is None or shape.strides[last] in (0, 1):
        return ()
    most = min(target.lanes, shape.dims[unit], shape.dims[last])
    return tuple(n for n in (2, 4, 8, 16) if n <= most)


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """The cheapest tile; a few tasks per core."""
    lanes, unit = target.lanes, shape.unit_dim
    last = len(shape.dims) - 1
    tile = 0
    split = last
    sides = _sides(shape, target)
    if unit is not None and sides:
        split = unit
        # Each tile costs n loads, n stores and n * log2(n) shuffles, and what hangs over the edges
        # is done twice.
        tile = min(
            sides,
            key=lambda n: (
                -(-shape.dims[unit] // n) * -(-shape.dims[last] // n) * n * (n.bit_length() + 1)
            ),
        )
    outer = [size for d, size in enumerate(shape.dims) if d not in (split, last)]
    wanted = 4 * target.cores
    task_dims = next(
        (count for count in range(len(outer)) if prod(outer[:count]) >= wanted), len(outer)
    )
    pieces = max(1, shape.dims[split] // (tile or GROUP * lanes))
    parts = min(pieces, -(-wanted // prod(outer[:task_dims])))
    return Knobs(lanes, tile, task_dims, parts)


def choices(shape: Shape, target: Target) -> dict[str, tuple[int, ...]]:
    """Squares, and how the split dimension is cut."""
    parts = default_knobs(shape, target).parts
    cuts = {1, *(-(-parts * 2**power // 8) for power in range(6))}
    sides = _sides(shape, target)
    return {**({"tile": sides} if sides else {}), "parts": tuple(sorted(cuts))}


def legal(shape: Shape, target: Target, knobs: Knobs) -> bool:
    """Whether the square is one that fits, and no other where rows are woven and none is made;
    whether the parts are enough, and as many as they say."""
    default = default_knobs(shape, target)
    sides = (default.tile,) if _interleaves(shape, default) else _sides(shape, target)
    if not (
        (knobs.lanes, knobs.task_dims) == (default.lanes, default.task_dims)
        and knobs.tile in (sides or (0,))
        and knobs.parts >= 1
    ):
        return False
    parts, usual = _parts(shape, knobs), _parts(shape, default)
    outer = _tasks(shape, default) // usual
    even = parts == knobs.parts or knobs == default
    return even and tasks_legal(outer * parts, outer * usual, target)


def _split(shape: Shape, knobs: Knobs) -> int:
    """The dimension that is cut into parts."""
    return len(shape.dims) - 1 if knobs.tile == 0 else shape.strides.index(1)


def _parts(shape: Shape, knobs: Knobs) -> int:
    pieces = shape.dims[_split(shape, knobs)] // _step(shape, knobs)
    return max(1, -(-pieces // _each(shape, knobs)))


def _each(shape: Shape, knobs: Knobs) -> int:
    """Steps of a part."""
    pieces = shape.dims[_split(shape, knobs)] // _step(shape, knobs)
    return -(-max(1, pieces) // knobs.parts)


def _outer(shape: Shape, knobs: Knobs) -> list[int]:
    """The dimensions around what is handled at once."""
    split, last = _split(shape, knobs), len(shape.dims) - 1
    return [d for d in range(last) if d != split]


def _tasks(shape: Shape, knobs: Knobs) -> int:
    leading = _outer(shape, knobs)[: knobs.task_dims]
    return _parts(shape, knobs) * prod(shape.dims[d] for d in leading)


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """x alone."""
    return ["x"]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, out."""
    e = Emitter()
    x, out = e.pointer("x", shape.dtype).at(shape.offset), e.pointer("out", shape.dtype)
    e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")

    split, outer = _split(shape, knobs), _outer(shape, knobs)
    leading, inner = outer[: knobs.task_dims], outer[knobs.task_dims :]
    pieces = shape.dims[split] // _step(shape, knobs)
    each, parts = _each(shape, knobs), _parts(shape, knobs)
    out_strides = contiguous_strides(shape.dims)

    def body(source: View, result: View, span: Span) -> None:
        if knobs.tile == 0:
            _rows(e, shape, knobs, source, result, span)
        elif _interleaves(shape, knobs):
            _interleaved(e, shape, knobs, source, result, span)
        else:
            _tiles(e, shape, knobs, source, result, span)

    def nest(dims: list[int], source: View, result: View, span: Span) -> None:
        if not dims:
            body(source, result, span)
            return
        with e.loop(shape.dims[dims[0]], f"i{dims[0]}") as i:
            nest(
                dims[1:],
                source.at(i * shape.strides[dims[0]]),
                result.at(i * out_strides[dims[0]]),
                span,
            )

    with e.loop(end - begin, "task", begin) as task:
        rest: Expr = task
        part: Expr = 0
        if parts > 1:
            part, rest = e.let(rest % parts), e.let(rest // parts)
        source, result = x, out
        for d in reversed(leading):
            index = e.let(rest % shape.dims[d])
            rest = e.let(rest // shape.dims[d])
            source = source.at(index * shape.strides[d])
            result = result.at(index * out_strides[d])
        nest(inner, source, result, share(e, part, parts, each, pieces))
    return Built(e.finish(symbol), 0, _tasks(shape, knobs))


def _interleaves(shape: Shape, knobs: Knobs) -> bool:
    """Whether vectors along the contiguous dimension can be woven into whole rows: it lies
    right before a last dimension of at most four (planes of colours into pixels)."""
    return (
        knobs.tile > 0
        and shape.dims[-1] <= 4
        and shape.unit_dim == len(shape.dims) - 2
        and shape.dims[-2] >= knobs.lanes
    )


def _step(shape: Shape, knobs: Knobs) -> int:
    """Elements of the split dimension that are handled at once."""
    if knobs.tile == 0:
        return GROUP * knobs.lanes
    return knobs.lanes if _interleaves(shape, knobs) else knobs.tile


def _rows(e: Emitter, shape: Shape, knobs: Knobs, source: View, result: View, span: Span) -> None:
    """The last dimension, read with stride 1, 0 or any other."""
    count, stride = shape.dims[-1], shape.strides[-1]
    if stride == 1:
        copy_span(e, result, source, count, span, knobs.lanes)
    elif stride == 0:
        fill_span(e, result, e.let(e.load(source)), count, span, knobs.lanes)
    else:

        def scalars(at: Expr, size: int) -> None:
            with e.loop(size, "i", at) as i:
                e.store(result, i, e.load(source, i * stride))

        over_span(e, count, _step(shape, knobs), span, scalars)


def _tiles(e: Emitter, shape: Shape, knobs: Knobs, source: View, result: View, span: Span) -> None:
    """Squares transposed in registers; the last ones overlap their neighbours inwards."""
    n, down, across = knobs.tile, shape.unit_dim, len(shape.dims) - 1
    assert down is not None
    stride, out_stride = shape.strides[across], contiguous_strides(shape.dims)[down]
    height, width = shape.dims[down], shape.dims[across]

    def row_of_tiles(at: Expr, size: int) -> None:
        top = at if size == n else height - n

        def square(at: Expr, size: int) -> None:
            left = at if size == n else width - n
            columns = [e.let(e.load(source, (left + c) * stride + top, n)) for c in range(n)]
            for r, row in enumerate(transpose(e, columns)):
                e.store(result, (top + r) * out_stride + left, row, n)

        over_span(e, width, n, Span.whole(width, n), square)

    over_span(e, height, n, span, row_of_tiles)


def _interleaved(
    e: Emitter, shape: Shape, knobs: Knobs, source: View, result: View, span: Span
) -> None:
    """Whole rows of the last, short dimension from vectors along the one before it."""
    lanes, count, run = knobs.lanes, shape.dims[-1], shape.dims[-2]

    def weave(at: Expr, size: int) -> None:
        first = at if size == lanes else run - lanes
        planes = [e.let(e.load(source, c * shape.strides[-1] + first, lanes)) for c in range(count)]
        for index, vector in enumerate(interleave(e, planes, lanes)):
            e.store(result, first * count + index * lanes, vector, lanes)

    over_span(e, run, lanes, span, weave)


PERMUTE, SLICE, EXPAND = (
    Kernel("strided_copy", op, shape_of, plain, default_knobs, pack, build, choices, legal)
    for op, shape_of in (
        ("permute", permute_shape),
        ("slice", slice_shape),
        ("expand", expand_shape),
    )
)
