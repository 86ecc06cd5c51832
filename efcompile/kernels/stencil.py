"""A depthwise stencil over one channels-last output row, several pixels at once in registers.

The taps of a pixel tile that fall left or right of the image are left out when the code is
made, and those above and below by the bounds of the loop over ky, so borders need neither
copies nor predicates.  Skipping a tap is exact: it would add zero.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from efcompile.kernels.activations import CHEAP
from efcompile.kernels.emit import Emitter, Expr, Register, View, float32
from efcompile.kernels.kernel import Array, contiguous
from efcompile.kernels.rows import larger, smaller, vector_runs
from efcompile.kernels.side_by_side import LANES, SideBySide, place
from efcompile.kernels.tile import Sink


@dataclass(frozen=True)
class Axis:
    """One axis of a window: `size` inputs, `kernel` taps `dilation` apart, zero padding."""

    size: int
    kernel: int
    stride: int
    padding: int
    dilation: int = 1

    @property
    def out(self) -> int:
        """Outputs along the axis."""
        reach = self.dilation * (self.kernel - 1) + 1
        return (self.size + 2 * self.padding - reach) // self.stride + 1

    def source(self, output: int, tap: int) -> int:
        """The input under `tap` of `output`; outside 0 .. size it is padding."""
        return output * self.stride - self.padding + tap * self.dilation

    def taps(self, output: int) -> list[int]:
        """The taps of `output` that fall on inputs."""
        return [t for t in range(self.kernel) if 0 <= self.source(output, t) < self.size]

    def bounds(self, e: Emitter, output: Expr) -> tuple[Expr, Expr]:
        """The first tap of a run-time `output` that falls on an input, and how many do."""
        if self.padding == 0:
            return 0, self.kernel
        top = e.let(output * self.stride - self.padding)
        step = self.dilation
        first = e.hold(larger(0, (step - 1 - top) // step))
        last = smaller(self.kernel, (self.size - 1 - top) // step + 1)
        return first, e.hold(larger(0, last - first))


@dataclass(frozen=True)
class PixelRun:
    """`times` tiles of `count` outputs, one after the other from `first`; all of a run have the
    same taps inside the image."""

    first: int
    count: int
    times: int


def pixel_runs(axis: Axis, pixels: int) -> list[PixelRun]:
    """The outputs of a row in tiles of `pixels` (the last narrower), the tiles that do not
    touch a border as one run."""

    def inner(run: PixelRun) -> bool:
        outputs = range(run.first, run.first + run.count)
        return all(len(axis.taps(x)) == axis.kernel for x in outputs)

    runs: list[PixelRun] = []
    for first in range(0, axis.out, pixels):
        run = PixelRun(first, min(pixels, axis.out - first), 1)
        last = runs[-1] if runs else None
        if last is not None and last.count == run.count and inner(last) and inner(run):
            runs[-1] = PixelRun(last.first, last.count, last.times + 1)
        else:
            runs.append(run)
    return runs


def choose_pixels(axis: Axis, registers: int) -> int:
    """Pixels of a tile: fewest estimated cycles for a row, within the registers.

    A tile needs a sum per pixel, a ky row of weights and an input.
    """
    return min(pixels_in_registers(axis, registers), key=lambda pixels: row_cost(axis, pixels))


def pixels_in_registers(axis: Axis, registers: int) -> range:
    """The tiles that registers can hold."""
    most = max(1, min(registers - axis.kernel - 2, axis.out))
    return range(1, most + 1)


@lru_cache(maxsize=4096)
def row_cost(axis: Axis, pixels: int) -> float:
    """Estimated cycles of a row in tiles of `pixels`: per ky a tile loads every input under it
    once, and two multiply-adds or loads go in a cycle, with a latency of four."""
    total = 0.0
    for run in pixel_runs(axis, pixels):
        spots = {axis.source(x, t) for x in range(run.count) for t in range(axis.kernel)}
        loads, products = len(spots) + axis.kernel, run.count * axis.kernel
        total += run.times * (max(loads, products) / 2 + 4)
    return total


def pack_taps(weight: Array) -> Array:
    """Depthwise weights [C, kh, kw, 1] -> [kh, kw, C]."""
    return contiguous(weight[..., 0].transpose(1, 2, 0))


def stencil_row(
    e: Emitter,
    axis: Axis,
    channels: int,
    pixels: int,
    lanes: int,
    taps_down: tuple[Expr, Expr],
    row_of: Callable[[Expr], View],
    weights: View,
    bias: View | None,
    sink: Sink | SideBySide,
    act: str,
    stage: View,
    tile_rows: int | None = None,
    pitch: int | None = None,
) -> None:
    """Emit one output row: ``sink(e, pixel, channel, lanes, sum)`` for every vector of it.

    `taps_down` is the (first, count) of ky inside the image and ``row_of(ky)`` the input row
    under it, [width, channels], its pixels `pitch` apart (by default `channels`); `weights` are
    [kh, kw, channels] (`pack_taps`).  Where `act`, which the sink applies, is not cheap, sums go
    through `stage` (pixels * lanes floats).
    With `tile_rows` pixels of input and result lie `side_by_side`; it divides `pixels` and both
    widths, and `sink` is a `SideBySide`.
    """
    height = tile_rows or 1
    for run in pixel_runs(axis, pixels):
        with e.loop(run.times, "pixels") as index:
            moved = e.let(index * run.count)
            for channel, width in vector_runs(e, channels, lanes):
                sums = _tile(
                    e, axis, run, moved, channels, channel, width, taps_down, row_of, weights,
                    bias, tile_rows, channels if pitch is None else pitch,
                )  # fmt: skip
                if isinstance(sink, SideBySide):
                    start = e.let(moved * channels + channel * height)
                    for output, total in zip(_outputs(run), sums, strict=True):
                        sink.put(e, start + place(output, channels, height), e.get(total))
                    continue
                first = e.let(moved + run.first)
                _finish(e, sums, first, channel, width, sink, None if act in CHEAP else stage)
    if isinstance(sink, SideBySide):
        sink.activate(e, 0, axis.out * channels // LANES)


def _tile(
    e: Emitter,
    axis: Axis,
    run: PixelRun,
    moved: Expr,
    channels: int,
    channel: Expr,
    width: int,
    taps_down: tuple[Expr, Expr],
    row_of: Callable[[Expr], View],
    weights: View,
    bias: View | None,
    tile_rows: int | None,
    pitch: int,
) -> Sequence[Register]:
    """The sums of one tile, its code that of the run's first, `moved` outputs further."""
    initial = float32(0.0, width) if bias is None else e.let(e.load(bias, channel, width))
    sums = [e.register(width, value=initial) for _ in range(run.count)]
    first, count = taps_down
    offset = e.let(moved * (axis.stride * pitch) + channel * (tile_rows or 1))
    with e.loop(count, "ky", first) as ky:
        row = row_of(ky).at(offset)
        taps = e.let(ky * (axis.kernel * channels) + channel)
        used = sorted({t for x in _outputs(run) for t in axis.taps(x)})
        w = {t: e.let(e.load(weights, taps + t * channels, width)) for t in used}
        for source, users in _by_source(axis, run):
            start = place(source, channels, tile_rows) if tile_rows else source * pitch
            x = e.let(e.load(row, start, width))
            for output, tap in users:
                total = sums[output - run.first]
                e.set(total, e.get(total) + x * w[tap])
    return sums


def _outputs(run: PixelRun) -> range:
    return range(run.first, run.first + run.count)


def _by_source(axis: Axis, run: PixelRun) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Each input under the tile, with the (output, tap) pairs that read it."""
    users: dict[int, list[tuple[int, int]]] = {}
    for output in _outputs(run):
        for tap in axis.taps(output):
            users.setdefault(axis.source(output, tap), []).append((output, tap))
    yield from sorted(users.items())


def _finish(
    e: Emitter,
    sums: Sequence[Register],
    first: Expr,
    channel: Expr,
    width: int,
    sink: Sink,
    stage: View | None,
) -> None:
    if stage is None:
        for p, total in enumerate(sums):
            sink(e, first + p, channel, width, e.get(total))
        return
    for p, total in enumerate(sums):
        e.store(stage, p * width, e.get(total), width)
    with e.loop(len(sums), "staged") as p:
        sink(e, first + p, channel, width, e.load(stage, p * width, width))
