"""The bias of attention scores: a constant padded to whole vectors, a table of relative
positions (see `relative_bias`), or a run-time tensor."""

from dataclasses import dataclass, replace

import numpy as np

from efcompile.kernels.attention_shape import Shape, pitch_of
from efcompile.kernels.emit import Emitter, Expr, View, splat
from efcompile.kernels.kernel import Array, OpCall
from efcompile.kernels.register_tile import vector_widths
from efcompile.kernels.relative_bias import Relative, pack_tables, row_start, write_row

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
    own; of a `relative` constant, the row of `query`."""

    padded: View
    strides: Strides
    run_time: View | None
    run_time_strides: Strides
    relative: Relative | None = None
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
            along_head = shape.relative.floats if sizes[1] > 1 else 0
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
        return replace(
            self, padded=self.padded.at(start(self.strides)), run_time=run_time, query=query
        )

    def write_rows(self, e: Emitter, out: View, rows: int, pitch: int, lanes: int) -> None:
        """``out[rows, pitch] = bias`` of a relative one, from its row on, and as much as a vector
        behind."""
        assert self.relative is not None
        with e.loop(rows, "row") as row:
            source = self.padded.at(row_start(e, self.relative, self.query + row))
            write_row(e, self.relative, source, out.at(e.let(row * pitch)), pitch, lanes)

    def write_heads(self, e: Emitter, out: View, heads: int, pitch: int, lanes: int) -> None:
        """``out[heads, pitch] = bias`` of a relative one at its row, and as much as a vector
        behind."""
        assert self.relative is not None
        source = self.padded.at(row_start(e, self.relative, self.query))
        with e.loop(heads, "head") as head:
            table, line = source.at(e.let(head * self.strides[1])), out.at(e.let(head * pitch))
            write_row(e, self.relative, table, line, pitch, lanes)

    def add_at_run_time(
        self, e: Emitter, shape: Shape, scores: View, rows: int, lanes: int
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
