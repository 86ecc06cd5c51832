"""Constants in the layout that one of MetaSchedule's schedules wants them in."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from efcompile.kernels.kernel import Array
from efcompile.tvm_api import s_tir, structural, tirx

_MARK = "meta_schedule.layout_rewrite_preproc"

_ARITHMETIC: dict[Any, Callable[[Any, Any], Any]] = {
    tirx.Add: np.add,
    tirx.Sub: np.subtract,
    tirx.Mul: np.multiply,
    tirx.FloorDiv: np.floor_divide,
    tirx.FloorMod: np.mod,
}


def rewritten(module: Any, position: int, value: Array) -> Array:
    """The constant `value` as the code of the scheduled `module`'s ``main`` reads parameter
    `position` once its layout blocks are gone; zeros where it pads.  As it is, if no block lays it
    out anew."""
    function = module["main"]
    param = function.params[position]
    blocks: list[Any] = []
    structural.structural_walk(function.body, [(s_tir.SBlock, blocks.append)])
    for block in blocks:
        store = block.body
        if _MARK in block.annotations and store.value.source.same_as(param):
            return _copied(block, value.reshape([int(n) for n in param.shape]))
    return value


def _copied(block: Any, source: Array) -> Array:
    """What a block that copies `source` element by element writes."""
    store = block.body
    extents = [int(axis.dom.extent) for axis in block.iter_vars]
    grid = np.indices(extents, sparse=True)
    places = {axis.var.name: grid[i] for i, axis in enumerate(block.iter_vars)}
    shape = [int(n) for n in store.buffer.shape]
    made = np.zeros(prod(shape), source.dtype).reshape(shape)
    made[_index(store.indices, places)] = source[_index(store.value.indices, places)]
    return made


def _index(indices: Any, places: dict[str, NDArray[np.int64]]) -> tuple[NDArray[np.int64], ...]:
    return tuple(_evaluate(index, places) for index in indices)


def _evaluate(expression: Any, places: dict[str, NDArray[np.int64]]) -> NDArray[np.int64]:
    """An index expression for all places at once."""
    if isinstance(expression, tirx.IntImm):
        return np.array(expression.value)
    if isinstance(expression, tirx.Var):
        return places[expression.name]
    operation = _ARITHMETIC[type(expression)]
    result: NDArray[np.int64] = operation(
        _evaluate(expression.a, places), _evaluate(expression.b, places)
    )
    return result
