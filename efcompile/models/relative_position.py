"""Which entry of an attention bias table each query-key pair reads."""

import torch
from torch import Tensor


def relative_position_index(side: int, query_stride: int = 1) -> Tensor:
    """Index of the offset between every query and every key on a square grid.

    Keys stand on all ``side * side`` points, queries on every ``query_stride``-th point of
    each axis. The bias of a pair depends only on ``(|dy|, |dx|)``, and the table holds those
    offsets row by row, so the index is ``|dy| * side + |dx|``.

    Returns: int64 ``[queries, keys]``, both in row-major order, values in ``[0, side * side)``.
    """
    keys = torch.arange(side)
    queries = torch.arange(0, side, query_stride)
    offset = (queries[:, None] - keys[None, :]).abs()  # [query, key] along one axis
    dy = offset[:, None, :, None]
    dx = offset[None, :, None, :]
    return (dy * side + dx).reshape(len(queries) ** 2, side**2)
