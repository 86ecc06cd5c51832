"""The pointwise MLP: both products of a block of rows in one go, its hidden rows in the cache."""

from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels.activations import CHEAP
from efcompile.kernels.emit import Emitter, Expr, View, int32
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.reference import te_activation, te_function
from efcompile.kernels.refusal import refusal
from efcompile.kernels.register_tile import NEON_ROWS, Tile, choose_tile, pack_panels
from efcompile.kernels.side_by_side import SideBySide, fits, lay_side_by_side, own_base
from efcompile.kernels.spaces import (
    TWO_PRODUCTS,
    aside_legal,
    prefetch_choices,
    prefetch_legal,
    scratch_legal,
    tasks_legal,
    tile_choices,
    tile_legal,
    unroll_legal,
)
from efcompile.kernels.span import Span
from efcompile.kernels.tile import Prefetch, Segment, Sink, gemm, store_epilogue
from efcompile.targets.target import Target
from efcompile.tvm_api import te


@dataclass(frozen=True)
class Shape:
    """``act(x[m, k] @ w1[h, k].T + b1) @ w2[n, h].T + b2 + residual[m, n]``."""

    m: int
    n: int
    k: int
    h: int
    bias1: bool
    bias2: bool
    residual: bool
    act: str


@dataclass(frozen=True)
class Knobs:
    """The tiles of the two products, the rows of a block, which is a task, whether both read
    their rows `side_by_side` (the tiles are equally high then), and whether their weights are
    asked for a panel ahead.

    A tall block goes over the weights seldom, a short one has its hidden rows in L1.  What is
    side by side is copied, and spares NEON loads.  Asking ahead hides the way of weights from
    L2 and memory, and costs instructions.
    """

    up: Tile
    down: Tile
    rows: int
    side_by_side: bool
    prefetch: bool


def shape_of(call: OpCall) -> Shape | str:
    """The shape of an `mlp` call, or why it is not one for this kernel."""
    x, weight1, weight2 = (call.operand(name) for name in ("x", "weight1", "weight2"))
    return refusal(call, ("weight1", "weight2", "bias1", "bias2")) or Shape(
        prod(x.shape[:-1]),
        weight2.shape[0],
        weight1.shape[1],
        weight1.shape[0],
        call.args["bias1"] is not None,
        call.args["bias2"] is not None,
        call.args["residual"] is not None,
        call.args["act"],
    )


def plain(shape: Shape) -> Any:
    """The algorithm, naively: x, weight1, [bias1], weight2, [bias2], [residual] -> [m, n]."""
    x = te.placeholder((shape.m, shape.k), name="x")
    operands = [x]

    def linear(source: Any, n: int, k: int, bias: bool, name: str) -> Any:
        weight = te.placeholder((n, k), name=f"{name}_weight")
        operands.append(weight)
        axis = te.reduce_axis((0, k), name="kk")
        y = te.compute((shape.m, n), lambda i, j: te.sum(source[i, axis] * weight[j, axis], axis))
        if not bias:
            return y
        shift = te.placeholder((n,), name=f"{name}_bias")
        operands.append(shift)
        return te.compute((shape.m, n), lambda i, j: y[i, j] + shift[j])

    hidden = linear(x, shape.h, shape.k, shape.bias1, "up")
    result = linear(te_activation(hidden, shape.act), shape.n, shape.h, shape.bias2, "down")
    if shape.residual:
        residual = te.placeholder((shape.m, shape.n), name="residual")
        operands.append(residual)
        summed = result
        result = te.compute((shape.m, shape.n), lambda i, j: summed[i, j] + residual[i, j])
    return te_function([*operands, result])


def block_rows(shape: Shape, target: Target) -> int:
    """Rows of a block: as many as keep the hidden block in half of L1 while both weights stay in
    L2, else (every block streams the weights from memory) in half of L2; fewer if that
    would leave a core without work, and rather a divisor of m than not (on NEON first of all
    a multiple of what its tiles take best)."""
    weights = 4 * shape.h * (shape.k + shape.n)
    streams = weights > target.l2_bytes // 2
    budget = target.l2_bytes // 2 if streams else target.l1_bytes // 2
    most = max(16, budget // (4 * shape.h))
    # A stream of weights costs more than an idle core unless the blocks stay tall.
    shares = -(-shape.m // target.cores)
    most = min(most, max(shares, 24 if streams else 8), shape.m)
    step = NEON_ROWS if target.arch == "aarch64" and most >= NEON_ROWS else 1
    most = min((most + step // 2) // step * step, shape.m)
    divisors = [rows for rows in range(step, most + 1, step) if shape.m % rows == 0]
    return divisors[-1] if divisors and 2 * divisors[-1] > most else most


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """Blocks by `block_rows`, and the tiles that fit them best."""
    rows = block_rows(shape, target)
    up = choose_tile(rows, shape.h, target, shape.k)
    down = choose_tile(rows, shape.n, target, shape.h)
    whole = up.lane_a and up.rows == down.rows and fits(shape.k) and fits(shape.h)
    # On NEON asking ahead showed as instructions only.
    ahead = not up.lane_a
    return Knobs(up, down, rows, whole, ahead)


@dataclass(frozen=True)
class _Scratch:
    """Floats of scratch: a tile of sums for a heavy activation, the hidden block, and the
    block's rows side by side."""

    stage: int
    hidden: int
    copied: int

    @staticmethod
    def of(shape: Shape, knobs: Knobs) -> "_Scratch":
        staged = shape.act not in CHEAP and not knobs.side_by_side
        return _Scratch(
            knobs.up.rows * knobs.up.panel if staged else 0,
            knobs.rows * shape.h,
            knobs.rows * shape.k if knobs.side_by_side else 0,
        )

    @property
    def bytes(self) -> int:
        return 4 * (self.stage + self.hidden + self.copied)


def choices(shape: Shape, target: Target) -> dict[str, tuple[int, ...]]:
    """Tiles of both products, blocks up to four times as tall or short as the default's that
    divide the rows or that tiles divide, and, where they make sense, copies and prefetch."""
    default = default_knobs(shape, target)
    least, most = -(-default.rows // 4), min(shape.m, 4 * default.rows)
    divisors = [rows for rows in range(least, most + 1) if shape.m % rows == 0]
    tiles = [default.up.rows * 2**power for power in range(8)]
    rows = {default.rows, *divisors, *(rows for rows in tiles if least <= rows <= most)}
    copies = default.up.lane_a and fits(shape.k) and fits(shape.h)
    return {
        **tile_choices("up", default.rows, shape.h, target, TWO_PRODUCTS),
        **tile_choices("down", default.rows, shape.n, target, TWO_PRODUCTS),
        "rows": tuple(sorted(rows)),
        **({"side_by_side": (0, 1)} if copies else {}),
        **prefetch_choices(target, copies),
    }


def legal(shape: Shape, target: Target, knobs: Knobs) -> bool:
    """Whether both tiles fit a block and one another, and prefetch is chosen where there is
    any."""
    up, down, rows = knobs.up, knobs.down, knobs.rows
    if not (
        1 <= rows <= shape.m
        and tile_legal(up, rows, shape.h, target, shape.k, TWO_PRODUCTS)
        and tile_legal(down, rows, shape.n, target, shape.h, TWO_PRODUCTS)
    ):
        return False
    default = default_knobs(shape, target)
    aside = up.rows == down.rows and aside_legal(up, shape.k) and aside_legal(down, shape.h)
    ahead = knobs.prefetch, default.prefetch
    used, usual = _Scratch.of(shape, knobs), _Scratch.of(shape, default)
    return (
        (aside or not knobs.side_by_side)
        and unroll_legal(up, knobs.side_by_side)
        and unroll_legal(down, knobs.side_by_side)
        and (
            prefetch_legal(*ahead, rows, shape.h, up, knobs.side_by_side)
            or prefetch_legal(*ahead, rows, shape.n, down, knobs.side_by_side)
        )
        and scratch_legal(used.bytes, usual.bytes, target)
        and tasks_legal(_tasks(shape, rows), _tasks(shape, default.rows), target)
    )


def _tasks(shape: Shape, rows: int) -> int:
    return -(-shape.m // rows)


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """x, weight1's panels, bias1, weight2's panels, bias2, residual."""
    up = pack_panels(call.value("weight1"), knobs.up.panel)
    down = pack_panels(call.value("weight2"), knobs.down.panel)
    return ["x", up, *call.present("bias1"), down, *call.present("bias2", "residual")]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: x, packed weight1, [bias1], packed weight2, [bias2], [residual], out."""
    e = Emitter()
    x, weight1 = e.pointer("x"), e.pointer("weight1")
    bias1 = e.optional("bias1", shape.bias1)
    weight2 = e.pointer("weight2")
    bias2 = e.optional("bias2", shape.bias2)
    residual = e.optional("residual", shape.residual)
    out, scratch = e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")

    up, down = knobs.up, knobs.down
    floats = _Scratch.of(shape, knobs)
    hidden, copied = scratch.at(floats.stage), scratch
    if knobs.side_by_side:
        copied = own_base(e, begin, scratch, floats.hidden)

    def product(tile: Tile, a: View, rows: int, n: int, k: int, w: View, b: View | None,
                sink: Sink | SideBySide, stage: View | None, prefetch: bool) -> None:  # fmt: skip
        row_tiles, panels = Span.whole(rows, tile.rows), Span.whole(n, tile.panel)
        ahead = Prefetch.over(rows, n, tile) if prefetch else None
        segments = [Segment(a, k, k, side_by_side=knobs.side_by_side)]
        gemm(
            e, tile, n, rows, row_tiles, panels, segments, w, b, sink, stage, prefetch=ahead
        )  # fmt: skip

    def block(first: Expr, rows: int) -> None:
        source, result = x.at(e.let(first * shape.k)), e.let(first * shape.n)
        rest = None if residual is None else residual.at(result)
        middle: Sink | SideBySide = store_epilogue(hidden, shape.h, shape.act, None)
        if knobs.side_by_side:
            lay_side_by_side(e, source, rows, shape.k, up.rows, copied)
            source, middle = copied, SideBySide(hidden, shape.h, shape.act)
        product(up, source, rows, shape.h, shape.k, weight1, bias1, middle,
                scratch if floats.stage else None, knobs.prefetch)  # fmt: skip
        last = store_epilogue(out.at(result), shape.n, "none", rest)
        product(down, hidden, rows, shape.n, shape.h, weight2, bias2, last, None,
                knobs.prefetch)  # fmt: skip

    whole, tail = shape.m // knobs.rows, shape.m % knobs.rows
    with e.loop(end - begin, "task", begin) as task:
        if tail == 0:
            block(task * knobs.rows, knobs.rows)
        else:
            with e.when(task < int32(whole)):
                block(task * knobs.rows, knobs.rows)
            with e.when(task == int32(whole)):
                block(int32(whole * knobs.rows), tail)
    return Built(e.finish(symbol), floats.bytes, _tasks(shape, knobs.rows))


KERNEL = Kernel("mlp", "mlp", shape_of, plain, default_knobs, pack, build, choices, legal)
