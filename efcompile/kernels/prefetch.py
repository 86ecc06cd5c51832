"""Weights asked for before they are needed."""

from dataclasses import dataclass

from efcompile.kernels.emit import Expr, View
from efcompile.kernels.register_tile import Tile

LINE = 16
"""Floats of a cache line."""


@dataclass(frozen=True)
class Prefetch:
    """The next panel's weights are asked for while `passes` row tiles go over this one, a share
    of them by each; `done` passes came before this product's own first."""

    passes: int
    done: Expr = 0

    @staticmethod
    def over(rows: int, columns: int, tile: Tile) -> "Prefetch | None":
        """For `rows` rows going over each panel of `columns`.

        None for a single panel, and for so many passes that waiting is no part of them.
        """
        passes = -(-rows // tile.rows)
        most = tile.unroll * tile.panel * 8 // LINE
        return Prefetch(passes) if columns > tile.panel and passes <= most else None

    def step(self, unroll: int, pitch: int) -> int:
        """Elements (whole lines) that one unrolled step of k asks for."""
        return -(-unroll * pitch // (self.passes * LINE)) * LINE


@dataclass(frozen=True)
class Ahead:
    """Weights to ask for: `step` elements from `view` at each unrolled step of k."""

    view: View
    step: int

    def at(self, steps: Expr) -> "Ahead":
        """After that many steps more."""
        return Ahead(self.view.at(steps * self.step), self.step)
