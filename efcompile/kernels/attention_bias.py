"""The bias of attention scores: a constant padded to whole vectors, a table of relative
positions (see `relative_bias`), or a run-time tensor."""

from dataclasses import dataclass, replace

import numpy as np

from efcompile.kernels.attention_shape import Shape, pitch_of
from efcompile.kernels.emit import Emitter, Expr, View, splat
from efcompile.kernels.kernel import Array, OpCall
from efcompile.kernels.register_tile import vector_widths
from efcompile.kernels.relative_bias import (
    Relative,
    pack_tables,
    strip_floats,
    strip_start,
    write_strips,
)

Strides = tuple[int, int, int]
"""Of batch, head and query; 0 where the bias is the same for all."""


def padded_bias(call: OpCall, shape: Shape, lanes: int) -> Array:
    """The bias with its rows lengthened from `keys` to whole vectors by -inf, so that the softmax
    gives the added keys no weight; just that mask if there is no constant bias, and just the
    tables of a relative one."""
    value, pitch = call.constant("bias"), pitch_of(shape, lanes)
    if value is not None and shape.relative is not None:
        return pack_tables(value, shape.relative, lanes)
    if value is None:
        value = np.zeros((1, 1, 1, 1), np.float32)
    value = value.reshape((1,) * (4 - value.ndim) + value.shape)
    padded = np.full((*value.shape[:3], pitch), -np.inf, np.float32)
    padded[..., : shape.keys] = value
    return padded


def _strides(sizes: tuple[int, int, int], row: int) -> Strides:
    full = (sizes[1] * sizes[2] * row, sizes[2] * row, row)
    batch_step, head_step, query_step = (
        0 if size == 1 else step for size, step in zip(sizes, full, strict=True)
    )
    return batch_step, head_step, query_step


@dataclass(frozen=True)
class BiasPointers:
    """The constant (`padded_bias`) with its `strides`, and the run-time bias, if any, with its
    own.  Of a `relative` one the constant are its tables, and rows are read from `strips`, the
    row of `query` on."""

    padded: View
    strides: Strides
    run_time: View | None
    run_time_strides: Strides
    relative: Relative | None = None
    strips: View | None = None
    query: Expr = 0

    @staticmethod
    def declare(e: Emitter, shape: Shape, pitch: int) -> "BiasPointers":
        """Declare the pointers: the padded constant, then the run-time bias if there is one."""
        padded = e.pointer("padded_bias")
        if shape.bias is None:
            return BiasPointers(padded, (0, 0, 0), None, (0, 0, 0))
        *sizes, row = shape.bias
        leading = (sizes[0], sizes[1], sizes[2])
        if shape.relative is not None:
            along_head = strip_floats(shape.relative) if sizes[1] > 1 else 0
            return BiasPointers(padded, (0, along_head, 0), None, (0, 0, 0), shape.relative)
        if not shape.bias_at_run_time:
            return BiasPointers(padded, _strides(leading, pitch), None, (0, 0, 0))
        return BiasPointers(padded, (0, 0, 0), e.pointer("bias"), _strides(leading, row))

    def at(self, e: Emitter, batch: Expr, head: Expr, query: Expr) -> "BiasPointers":
        """Moved to a row."""

        def start(strides: Strides) -> Expr:
            return e.hold(batch * strides[0] + head * strides[1] + query * strides[2])

        run_time = self.run_time
        if run_time is not None:
            run_time = run_time.at(start(self.run_time_strides))
        if self.relative is not None:
            strips = None if self.strips is None else self.strips.at(e.hold(head * self.head_step))
            return replace(self, strips=strips, run_time=run_time, query=query)
        return replace(self, padded=self.padded.at(start(self.strides)), run_time=run_time)

    @property
    def head_step(self) -> int:
        """Elements from a head's row to the next head's."""
        return self.strides[1]

    def line(self, e: Emitter, row: Expr) -> View:
        """The constant's row, `row` queries further, in whole vectors; behind the keys is -inf,
        or anything if it is relative."""
        if self.relative is None:
            return self.padded.at(row * self.strides[2])
        assert self.strips is not None
        return self.strips.at(strip_start(e, self.relative, self.query + row))

    def write_strips(self, e: Emitter, head: Expr, strips: View, lanes: int) -> None:
        """The strips of a relative one's `head`, into `strips`."""
        assert self.relative is not None
        table = self.padded.at(e.let(head * self.relative.floats))
        write_strips(e, self.relative, table, strips, lanes)

    def add_at_run_time(
        self, e: Emitter, shape: Shape, scores: View, rows: Expr, lanes: int
    ) -> None:
        """``scores[rows, keys] += bias`` for a run-time bias, which is not padded."""
        if self.run_time is None:
            return
        assert shape.bias is not None
        pitch, one = pitch_of(shape, lanes), shape.bias[3] == 1
        with e.loop(rows, "row") as row:
            line = self.run_time.at(e.let(row * self.run_time_strides[2]))
            start = 0
            for width in vector_widths(shape.keys, lanes):
                added = splat(e.load(line), width) if one else e.load(line, start, width)
                index = row * pitch + start
                e.store(scores, index, e.load(scores, index, width) + added, width)
                start += width


def strips_floats(shape: Shape, heads: int, lanes: int) -> int:
    """Scratch for the strips of so many heads; 0 if the bias is not relative."""
    return 0 if shape.relative is None else heads * strip_floats(shape.relative) + lanes


def biased_heads(shape: Shape) -> int:
    """Heads that have biases of their own: 1 if they share one."""
    return 1 if shape.bias is None else shape.bias[1]
