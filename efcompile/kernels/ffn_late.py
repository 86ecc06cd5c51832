"""A middle row's activation beside the products of the next hidden row.

What an activation that is not cheap does beside multiply-adds is nearly free where a core has
pipes for it, see `deferred`; after the stencil it has nothing beside it.  So where rows are as wide
in the middle as before, the stencil of a panel leaves the sums of a row as they are, in a buffer
that stays in L1, and the tiles that make the next hidden row finish as many of its pixels as of
their own.  (FFNs of 56 x 56 and 28 x 28 pixels take 3 to 4 % less.)
"""

from collections.abc import Callable
from dataclasses import dataclass

from efcompile.kernels.activations import CHEAP
from efcompile.kernels.deferred import pays
from efcompile.kernels.emit import Emitter, Expr, View
from efcompile.kernels.ffn_shape import Shape
from efcompile.kernels.register_tile import Tile
from efcompile.kernels.rows import vector_runs
from efcompile.kernels.span import Span

Sink = Callable[[Emitter, Expr, Expr, int, Expr], None]
"""As `tile.Sink`."""

_MOST_SUMS = 16
"""Of a tile; larger ones leave too few registers for two activations (with 28 sums FFNs take up to
3 % longer than if nothing is late)."""


def is_late(shape: Shape, up: Tile) -> bool:
    """Whether middle rows are finished beside hidden ones that tiles like `up` make: where there is
    a hidden row for every middle row, as wide, and a tile's activation is beside the next."""
    return (
        up.rows * up.vectors <= _MOST_SUMS
        and shape.act1 not in CHEAP
        and shape.act2 not in CHEAP
        and shape.down.stride == 1
        and shape.across.out == shape.across.size
        and pays(up, (up.lanes,) * up.vectors, Span.whole(shape.across.size, up.rows))
    )


@dataclass(frozen=True)
class Late:
    """The `sums` of a middle row of a panel, [pixels, width]; `sink` takes what they become, its
    columns those of the panel, from 0.  Any of them may be finished several times."""

    sums: View
    pixels: int
    width: int
    sink: Sink

    def beside(self, sink: Sink, start: Expr) -> Sink:
        """`sink`, which is given the columns of a panel that starts at `start`, and what is late at
        the same places."""

        def both(e: Emitter, row: Expr, column: Expr, lanes: int, value: Expr) -> None:
            inner = e.let(column - start)
            total = self._load(e, row, inner, lanes)
            sink(e, row, column, lanes, value)
            self.sink(e, row, inner, lanes, total)

        return both

    def finish_all(self, e: Emitter, lanes: int) -> None:
        """Every pixel, with nothing beside."""
        with e.loop(self.pixels, "late") as pixel:
            for column, width in vector_runs(e, self.width, lanes):
                self.sink(e, pixel, column, width, self._load(e, pixel, column, width))

    def _load(self, e: Emitter, pixel: Expr, column: Expr, lanes: int) -> Expr:
        return e.let(e.load(self.sums, pixel * self.width + column, lanes))
