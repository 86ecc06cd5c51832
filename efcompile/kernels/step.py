"""Steps of output rows: how many rows of an image a task makes, and their last product.

Kernels that pass rows from a stencil to a product do it in steps: the rows of a step are in
scratch between the two, and each goes over its weights once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from efcompile.kernels.emit import Emitter, Expr, View
from efcompile.kernels.register_tile import Tile
from efcompile.kernels.rows import gemm_rows
from efcompile.kernels.segment import Segment
from efcompile.kernels.span import Span
from efcompile.kernels.stencil import Axis
from efcompile.kernels.tile import Sink, store_epilogue
from efcompile.targets.target import Target


@dataclass(frozen=True)
class Steps:
    """The output rows of an image, `rows` by `rows` (the last step may be shorter)."""

    down: Axis
    across: Axis
    rows: int

    @property
    def count(self) -> int:
        """Steps of an image."""
        return -(-self.down.out // self.rows)

    @property
    def product_width(self) -> int:
        """Pixels that the product takes as one row: the whole step where all steps are full."""
        return self.across.out * self.rows // self.product_rows

    @property
    def product_rows(self) -> int:
        """How many such rows a full step has."""
        return 1 if self.down.out % self.rows == 0 else self.rows


def step_rows(
    weight_bytes: int,
    images: int,
    down: Axis,
    across: Axis,
    scratch_bytes: Callable[[int], int],
    target: Target,
) -> int:
    """Rows of a step: enough pixels to be worth a pass over the weights, so one row where both
    lie in L1, at least 28 pixels from L2, and from beyond it (where they would not stay in L2
    anyway) what L2 holds, as long as every core has a step.  A step of so many rows needs
    ``scratch_bytes(rows)``."""
    # In equal steps: 7 rows of 7 pixels are one step, not 4 rows and 3.
    enough = -(-down.out // max(1, down.out * across.out // 28))
    budget = target.l2_bytes // 2
    if weight_bytes + scratch_bytes(1) <= target.l1_bytes:
        enough = 1
    elif weight_bytes > target.l2_bytes // 2:
        enough, budget = down.out, target.l2_bytes
    rows = 1
    most = min(enough, -(-down.out * images // target.cores), down.out)
    while rows < most and scratch_bytes(rows + 1) <= budget:
        rows += 1
    # Equal steps: 14 rows by at most 6 are 5, 5 and 4.
    return -(-down.out // -(-down.out // rows))


def project(
    e: Emitter,
    steps: Steps,
    rows: Expr,
    tile: Tile,
    channels: tuple[int, int],
    middle: View,
    weights: View,
    bias: View | None,
    out: View,
    residual: View | None,
    act: str,
    stage: View | None,
    prefetch: bool,
    side_by_side: bool = False,
    left_sums: View | None = None,
) -> None:
    """The product at the end of a step: its `rows` middle rows to those of `out`, with the
    epilogue; `channels` are those of the two, `out` and `residual` start at the step.  With
    `prefetch` weights are asked for ahead, with `side_by_side` the pixels of the middle rows lie
    so; `left_sums` as in `gemm_rows`."""
    (inner, outer), width = channels, steps.product_width
    by_row = width == steps.across.out

    def segments(y: Expr) -> Sequence[Segment]:
        row = middle.at(e.let(y * (width * inner)))
        return [Segment(row, inner, inner, side_by_side=side_by_side)]

    def sink(y: Expr) -> Sink:
        start = e.let(y * (width * outer))
        rest = None if residual is None else residual.at(start)
        return store_epilogue(out.at(start), outer, act, rest)

    gemm_rows(
        e,
        tile,
        outer,
        width,
        rows if by_row else 1,
        Span.whole(outer, tile.panel),
        segments,
        weights,
        bias,
        sink,
        stage,
        steps.product_rows if prefetch else None,
        left_sums,
    )
