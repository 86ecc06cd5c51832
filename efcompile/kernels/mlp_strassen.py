"""The pointwise MLP in seven products for eight: blocks of rows, both products by `strassen`.

The first product's rows become factors of the second as they are finished; the hidden block
itself is never stored.
"""

from dataclasses import dataclass

from efcompile.kernels.emit import Emitter
from efcompile.kernels.kernel import Array, Built, OpCall
from efcompile.kernels.mlp_shape import Shape
from efcompile.kernels.register_tile import Tile
from efcompile.kernels.strassen import (
    Factors,
    factors_floats,
    multiply,
    pack_factors,
    row_blocks,
    split,
    store_factors,
    store_quarters,
    sums_floats,
)
from efcompile.targets.target import Target


def blocks(shape: Shape) -> tuple[int, ...]:
    """Rows that a block may have."""
    return row_blocks(shape.m, shape.images, shape.k, shape.h, shape.n)


def block_rows(shape: Shape, target: Target) -> int | None:
    """Rows of a block: as many as keep the factors of its hidden rows in L2 and leave every core
    a block."""
    most = -(-shape.m // target.cores)
    room = target.l2_bytes * 9 // 10
    fitting = [r for r in blocks(shape) if r <= most and 4 * factors_floats(r, shape.h) <= room]
    return max(fitting, default=None)


@dataclass(frozen=True)
class Scratch:
    """Floats of scratch: the hidden rows' factors, then those of x, then a panel's products."""

    hidden: int
    x: int
    sums: int

    @staticmethod
    def of(shape: Shape, rows: int, up: Tile, down: Tile) -> "Scratch":
        """For blocks of `rows` rows."""
        return Scratch(
            factors_floats(rows, shape.h),
            factors_floats(rows, shape.k),
            max(sums_floats(rows, up), sums_floats(rows, down)),
        )

    @property
    def bytes(self) -> int:
        """All of it."""
        return 4 * (self.hidden + self.x + self.sums)


def pack(call: OpCall, up: Tile, down: Tile) -> list[str | Array]:
    """x, weight1's factors, bias1, weight2's factors, bias2, residual."""
    first = pack_factors(call.value("weight1"), up)
    second = pack_factors(call.value("weight2"), down)
    return ["x", first, *call.present("bias1"), second, *call.present("bias2", "residual")]


def build(
    symbol: str, shape: Shape, target: Target, rows: int, up: Tile, down: Tile, prefetch: bool
) -> Built:
    """Pointers: x, packed weight1, [bias1], packed weight2, [bias2], [residual], out."""
    e = Emitter()
    x, weight1 = e.pointer("x"), e.pointer("weight1")
    bias1 = e.optional("bias1", shape.bias1)
    weight2 = e.pointer("weight2")
    bias2 = e.optional("bias2", shape.bias2)
    residual = e.optional("residual", shape.residual)
    out, scratch = e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")

    floats = Scratch.of(shape, rows, up, down)
    hidden = Factors(scratch, rows, shape.h)
    source = Factors(scratch.at(floats.hidden), rows, shape.k)
    sums = scratch.at(floats.hidden + floats.x)
    with e.loop(end - begin, "task", begin) as task:
        first = e.let(task * rows)
        result = e.let(first * shape.n)
        rest = None if residual is None else residual.at(result)
        split(e, x.at(e.let(first * shape.k)), source, target.lanes)
        finish = store_factors(hidden, bias1, shape.act)
        multiply(e, up, shape.h, source, weight1, sums, finish, prefetch)
        last = store_quarters(rows, shape.n, out.at(result), bias2, "none", rest)
        multiply(e, down, shape.n, hidden, weight2, sums, last, prefetch)
    return Built(e.finish(symbol), floats.bytes, shape.m // rows)
