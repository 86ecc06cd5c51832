"""The depthwise convolution of the values, of a block of queries of one head.

It reads the head's values where the weighing is about to read them too: next to one another and
in the cache, not thousands of bytes apart as in the projection's result.
"""

from dataclasses import dataclass

from efcompile.kernels.attention_parts import Knobs
from efcompile.kernels.attention_shape import Local, Shape
from efcompile.kernels.emit import Emitter, Expr, View
from efcompile.kernels.kernel import Array, OpCall, contiguous
from efcompile.kernels.stencil import Axis, pack_taps, stencil_row
from efcompile.kernels.tile import store_epilogue

_LINE = 16
"""Floats of a cache line."""


def near_floats(shape: Shape, rows: int) -> int:
    """Scratch for the convolution at `rows` queries; 0 if there is none."""
    return 0 if shape.local is None else rows * shape.value_dim


def pack_local(call: OpCall, shape: Shape) -> list[str | Array]:
    """[The taps as [heads, kh, kw, value_dim]], [the bias]."""
    if shape.local is None:
        return []
    taps = pack_taps(call.value("local"))
    by_head = taps.reshape(*taps.shape[:2], shape.heads, shape.value_dim)
    return [contiguous(by_head.transpose(2, 0, 1, 3)), *call.present("local_bias")]


@dataclass(frozen=True)
class Convolution:
    """The packed taps and the bias (`pack_local`)."""

    local: Local
    taps: View
    bias: View | None

    @staticmethod
    def declare(e: Emitter, shape: Shape) -> "Convolution | None":
        """Declare the pointers, if there is a convolution."""
        local = shape.local
        if local is None:
            return None
        return Convolution(local, e.pointer("local"), e.optional("local_bias", local.bias))

    def ask(self, e: Emitter, shape: Shape, head: Expr, lanes: int) -> None:
        """Have a head's taps and bias come near: in a network other layers' weights have taken
        their place in the cache.  Nothing on NEON, where instructions count."""
        if lanes <= 4:
            return
        floats = self.local.down.kernel * self.local.across.kernel * shape.value_dim
        for view, count in ((self.taps, floats), (self.bias, shape.value_dim)):
            if view is not None:
                start = view.at(e.let(head * count))
                with e.loop(-(-count // _LINE), "line") as line:
                    e.prefetch(start, e.let(line * _LINE))

    def emit(
        self,
        e: Emitter,
        shape: Shape,
        knobs: Knobs,
        head: Expr,
        values: View,
        pitch: int,
        first: Expr,
        rows: Expr,
        near: View,
    ) -> None:
        """``near[rows, value_dim]`` at the queries from `first` on, which starts a row of their
        image, by the head's `values` [keys, value_dim], those of a key `pitch` elements from the
        next one's."""
        down, across, width = self.local.down, self.local.across, shape.value_dim
        taps = self.taps.at(e.hold(head * (down.kernel * across.kernel * width)))
        bias = None if self.bias is None else self.bias.at(e.hold(head * width))

        def line(taps_down: tuple[Expr, Expr], y: Expr, index: Expr) -> None:
            top = e.let(y * down.stride - down.padding)

            def row_of(ky: Expr) -> View:
                return values.at(e.let((top + ky) * (across.size * pitch)))

            out = near.at(e.let(index * (across.out * width)))
            stencil_row(
                e, across, width, knobs.pixels, knobs.values.lanes, taps_down, row_of, taps, bias,
                store_epilogue(out, width, "none", None), "none", out, pitch=pitch,
            )  # fmt: skip

        if isinstance(first, int) and isinstance(rows, int):
            # Rows with the same taps share code in which these are known, so that LLVM unrolls it.
            for start, times in _alike(down, first // across.out, rows // across.out):
                inside = down.taps(start)
                with e.loop(times, "y") as more:
                    y = e.let(more + start)
                    line((min(inside, default=0), len(inside)), y, e.let(y - first // across.out))
            return
        top_row = e.hold(first // across.out)
        with e.loop(rows // across.out, "y") as index:
            y = e.let(top_row + index)
            line(down.bounds(e, y), y, index)


def _alike(down: Axis, first: int, count: int) -> list[tuple[int, int]]:
    """`count` outputs from `first` as runs (start, times) of the same taps inside the image."""
    runs: list[tuple[int, int]] = []
    for y in range(first, first + count):
        if runs and down.taps(y) == down.taps(runs[-1][0]):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((y, 1))
    return runs
