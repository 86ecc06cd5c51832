"""Where the rows of a product's left operand lie."""

from dataclasses import dataclass
from math import prod

from efcompile.kernels.emit import Expr, View
from efcompile.kernels.register_tile import Tile


@dataclass(frozen=True)
class Segment:
    """Runs of the k dimension: row r of A has `depth` elements at ``r * stride`` in `a`.

    `repeats` nests further runs around them, outermost first: (count, step) says that `count`
    of what is inside follow one another, `step` elements apart in `a` (the rows of a stencil).
    Of the innermost repeat the first `skipped` (`most_skipped` at most) are left out: rows above an
    image.  Of the first row of each tile the first `outside` elements of each run are left out:
    pixels left of an image.
    With `side_by_side` (for `Tile.lane_a`; `stride` is `depth`) `a` is laid out as in that file.
    """

    a: View
    stride: int
    depth: int
    repeats: tuple[tuple[int, int], ...] = ()
    side_by_side: bool = False
    skipped: Expr = 0
    most_skipped: int = 0
    outside: int = 0

    @property
    def total(self) -> int:
        """Elements of k in all its runs."""
        return self.depth * prod(count for count, _ in self.repeats)

    def steps(self, tile: Tile) -> int:
        """Unrolled steps of k in all its runs, at the least."""
        return int(self._runs(self.most_skipped)) * self._run_steps(tile)

    def steps_made(self, tile: Tile) -> Expr:
        """Those that are not left out."""
        return self._runs(self.skipped) * self._run_steps(tile)

    def _runs(self, skipped: Expr) -> Expr:
        if not self.repeats:
            return 1
        outer = prod(count for count, _ in self.repeats[:-1])
        return (self.repeats[-1][0] - skipped) * outer

    def _run_steps(self, tile: Tile) -> int:
        inside = self.depth - self.outside
        return inside // min(tile.unroll, inside)
