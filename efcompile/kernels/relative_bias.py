"""Attention biases that depend only on where a key lies relative to its query.

Queries and keys lie on grids, the queries on every `stride`-th point, and
``bias[h, q, k] = table[h, ky - stride qy, kx - stride qx]`` (moved up to start at zero).  The
full bias of one block is hundreds of kilobytes that each inference reads once, from memory; the
table is a few, and made into strips in scratch that hold each query's row in one piece.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from efcompile.kernels.emit import Emitter, Expr, View
from efcompile.kernels.kernel import Array, contiguous

_WORTH = 4
"""The full bias must be that many times the table's size."""

_STRIDES = (1, 2, 3, 4)


@dataclass(frozen=True)
class Relative:
    """Keys lie on a grid of `rows` x `columns`, queries on one of `query_rows` x
    `query_columns`, `stride` points of the other apart."""

    rows: int
    columns: int
    query_rows: int
    query_columns: int
    stride: int

    @property
    def table(self) -> tuple[int, int]:
        """Rows and columns of one head's table."""
        down = self.rows + self.stride * (self.query_rows - 1)
        return down, self.columns + self.stride * (self.query_columns - 1)

    @property
    def floats(self) -> int:
        """Elements of one head's table."""
        return self.table[0] * self.table[1]

    def index(self) -> Array:
        """The table element of every [query, key]."""

        def along(keys: int, queries: int) -> Array:
            moved = self.stride * (queries - 1 - np.arange(queries))
            return np.asarray(moved[:, None] + np.arange(keys))

        down, across = along(self.rows, self.query_rows), along(self.columns, self.query_columns)
        both = down[:, None, :, None] * self.table[1] + across[None, :, None, :]
        return both.reshape(self.query_rows * self.query_columns, self.rows * self.columns)

    def table_of(self, bias: Array) -> Array:
        """`bias` [heads, queries, keys] as tables [heads, elements]."""
        table = np.zeros((bias.shape[0], self.floats), bias.dtype)
        table[:, self.index()] = bias
        return table

    def describes(self, bias: Array) -> bool:
        """Whether `bias` [heads, queries, keys] is such a one, to the bit."""
        return np.array_equal(self.table_of(bias)[:, self.index()], bias, equal_nan=True)


def find_relative(bias: Array) -> Relative | None:
    """How `bias` [1, heads, queries, keys] is relative, or None if it is not, or so small that
    it may as well be read."""
    if bias.ndim != 4 or bias.shape[0] != 1 or 1 in bias.shape[2:]:
        return None
    value, (queries, keys) = bias[0], bias.shape[2:]
    found = [
        grid
        for grid in _grids(queries, keys)
        if _WORTH * grid.floats <= queries * keys
        and grid.describes(value[:1])
        and grid.describes(value)
    ]
    return min(found, key=lambda grid: grid.floats, default=None)


def _grids(queries: int, keys: int) -> Iterator[Relative]:
    for columns in range(2, keys + 1):
        rows = keys // columns
        for stride in _STRIDES if rows * columns == keys else ():
            query_rows, query_columns = -(-rows // stride), -(-columns // stride)
            if query_rows * query_columns == queries:
                yield Relative(rows, columns, query_rows, query_columns, stride)


def pack_tables(bias: Array, grid: Relative, lanes: int) -> Array:
    """The tables of all heads, and `lanes` zeros behind them: runs are read in whole vectors."""
    return contiguous(np.append(grid.table_of(bias[0]).ravel(), np.zeros(lanes)))


def strip_floats(grid: Relative) -> int:
    """Elements of one head's strips."""
    return grid.query_columns * _strip(grid)


def _strip(grid: Relative) -> int:
    return grid.table[0] * grid.columns


def write_strips(e: Emitter, grid: Relative, table: View, out: View, lanes: int) -> None:
    """A head's table cut into strips, one for each column of queries: what its keys see of each
    row of the table.  A query's row of the bias lies in its strip in one piece.

    Runs are stored in whole vectors, each over what the one before wrote too much: up to `lanes`
    elements behind the strips are written as well.
    """
    line, columns = grid.table[1], grid.columns
    with e.loop(grid.query_columns, "strip") as qx:
        left = e.let((grid.query_columns - 1 - qx) * grid.stride)
        strip = out.at(e.let(qx * _strip(grid)))
        with e.loop(grid.table[0], "y") as y:
            source, target = e.let(left + y * line), e.let(y * columns)
            for start in range(0, columns, lanes):
                e.store(strip, target + start, e.load(table, source + start, lanes), lanes)


def strip_start(e: Emitter, grid: Relative, query: Expr) -> Expr:
    """Where in a head's strips `query`'s row of the bias begins."""
    qy, qx = e.let(query // grid.query_columns), e.let(query % grid.query_columns)
    down = grid.stride * grid.columns
    return e.hold((grid.query_rows - 1 - qy) * down + qx * _strip(grid))
