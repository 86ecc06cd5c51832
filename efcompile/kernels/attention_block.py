"""Blocks of queries, of which the last may be shorter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from efcompile.kernels.emit import Emitter, Expr, int32, select
from efcompile.kernels.span import Span


@dataclass(frozen=True)
class Block:
    """`rows` queries from `first` on.  If run time decides how many, `last` says whether this is
    the last block, which has `last_rows`; any other has `whole_rows`."""

    first: Expr
    rows: Expr
    last: Expr = True
    last_rows: int = 0
    whole_rows: int = 0

    def tiles(self, e: Emitter, height: int) -> tuple[int, Span]:
        """For a product in tiles of `height` rows: where the block's last tile ends if it is not
        whole, and the tiles."""
        if isinstance(self.rows, int):
            return self.rows, Span.whole(self.rows, height)
        count = select(self.last, int32(self.last_rows // height), self.whole_rows // height)
        return self.last_rows, Span(0, e.hold(count), self.last)


def each_block(
    e: Emitter,
    queries: int,
    rows: int,
    index: Expr,
    code: Callable[[Block], None],
    heights: Sequence[int] = (),
) -> None:
    """`code` for the block of the run-time number `index`.

    A shorter last block has code of its own, unless products' tiles, of `heights` rows, cut the
    others evenly: then all share theirs, and find it in the cache.  Without `heights` the code
    wants to know how many rows there are.
    """
    whole, rest = divmod(queries, rows)
    if whole == 1 and not rest:
        code(Block(0, rows))
    elif not rest:
        code(Block(e.hold(index * rows), rows))
    elif heights and all(rows % height == 0 for height in heights):
        last = index == int32(whole)
        count = e.hold(select(last, int32(rest), int32(rows)))
        code(Block(e.hold(index * rows), count, last, rest, rows))
    else:
        with e.when(index < int32(whole)):
            code(Block(e.hold(index * rows), rows))
        with e.when(index == int32(whole)):
            code(Block(whole * rows, rest))
