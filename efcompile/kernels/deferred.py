"""A tile's epilogue beside the next tile's products.

A heavy activation runs over staged sums, see `tile`.  With AVX-512 most of it is additions and
permutations, for which Zen 5 has pipes beside those of the multiply-adds; but a tile's stage is
more than a core looks ahead.  So a tile of a whole panel leaves its sums in the stage, and the
loop over k of the row tile that follows finishes a few of its rows in every step.
"""

from collections.abc import Callable
from dataclasses import dataclass

from efcompile.kernels.activations import CHEAP
from efcompile.kernels.emit import Emitter, Expr, View, int32, select
from efcompile.kernels.gelu_table import TABLE_LANES
from efcompile.kernels.register_tile import Tile
from efcompile.kernels.span import Span
from efcompile.targets.target import Target

_FEWEST = 4
"""Tiles: of two, half is beside products, which does not make up for what they have to spill."""


_SPARE, _SPARE_BRIEF, _BRIEF = 4, 10, 160
"""Registers that tiles of pairs leave to an activation, and where it is more of the work, as there
are few elements of k (MLPs take 2 and 5 % less than if none are left, a convolution 10 %).
"""


def spare_registers(act: str, depth: int, target: Target) -> int:
    """What a tile of pairs with this activation should leave of a target's registers."""
    if act in CHEAP or target.registers <= 16:
        return 0
    return _SPARE_BRIEF if depth <= _BRIEF else _SPARE


@dataclass(frozen=True)
class Staged:
    """Sums of `rows` rows, the first of them `first` of the result, in `stage`, each with vectors
    of `widths` from `column`; `sink` finishes one (see `tile.Sink`)."""

    stage: View
    first: Expr
    rows: int
    column: Expr
    widths: tuple[int, ...]
    sink: Callable[[Emitter, Expr, Expr, int, Expr], None]

    def finish(self, e: Emitter, row: Expr) -> None:
        """One of the rows."""
        start, width = 0, sum(self.widths)
        for lanes in self.widths:
            value = e.load(self.stage, row * width + start, lanes)
            self.sink(e, self.first + row, self.column + start, lanes, value)
            start += lanes

    def finish_all(self, e: Emitter) -> None:
        """Every row."""
        with e.loop(self.rows, "staged") as row:
            self.finish(e, row)


@dataclass(frozen=True)
class Beside:
    """`staged` is finished over the first of `steps` steps of k, if there is any (`exists`, 0 or
    1); `done` steps came before."""

    staged: Staged
    steps: int
    exists: Expr
    done: Expr = 0

    @property
    def rows(self) -> int:
        """Rows that a step finishes."""
        return -(-self.staged.rows // self.steps)

    def after(self, steps: Expr) -> "Beside":
        """After that many steps more."""
        return Beside(self.staged, self.steps, self.exists, self.done + steps)

    def share(self, e: Emitter, steps: int) -> Expr:
        """How many of the next `steps` steps, none of which is done, have rows to finish."""
        needed = -(-self.staged.rows // self.rows)
        left = e.let(self.exists * needed - self.done)
        most = select(left < int32(steps), left, int32(steps))
        return e.hold(select(left < int32(0), int32(0), most))

    def finish(self, e: Emitter, step: Expr) -> None:
        """The rows of a step; the last one finishes some again."""
        first, last = e.let((self.done + step) * self.rows), self.staged.rows - self.rows
        start = e.hold(select(first < int32(last), first, int32(last)))
        for row in range(self.rows):
            self.staged.finish(e, start + row)


def pays(tile: Tile, widths: tuple[int, ...], rows: Span) -> bool:
    """Whether most tiles have a next one, the target has pipes beside the multiply-adds' that
    epilogues can use, and vectors are all whole."""
    if isinstance(rows.count, int) and rows.count + (rows.tail is not False) < _FEWEST:
        return False
    return tile.lanes == TABLE_LANES and set(widths) == {TABLE_LANES}
