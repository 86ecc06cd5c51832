"""Nodes that only move elements, replayed on the numbers 0, 1, 2, ... to see where each went."""

from functools import lru_cache
from math import prod

import torch
from torch import Tensor
from torch.fx import Node

from efcompile import ops
from efcompile.passes.rewriting import is_op, is_reshape, shape

Step = tuple[str, tuple[int, ...]]
"""A move as plain numbers, so that equal blocks are replayed once."""


def is_move(node: Node) -> bool:
    """Whether each element of `node` is one of its operand."""
    return is_reshape(node) or is_op(node, "permute", "slice", "expand")


def path_of(node: Node) -> list[Node]:
    """`node`, and what it is moved from, and so on: the last is no move."""
    path = [node]
    while is_move(path[-1]):
        path.append(path[-1].args[0])  # type: ignore[arg-type]
    return path


def steps_of(moves: list[Node]) -> tuple[Step, ...]:
    """The steps of `moves`, a path's nodes without its source (so the last one first)."""
    return tuple(_step(node) for node in reversed(moves))


def _step(node: Node) -> Step:
    if is_reshape(node):
        return "reshape", shape(node)
    arguments = ops.arguments(node)
    if is_op(node, "permute"):
        return "permute", tuple(arguments["dims"])
    if is_op(node, "expand"):
        return "expand", shape(node)
    return "slice", tuple(int(arguments[name]) for name in ("dim", "start", "end", "step"))


@lru_cache(maxsize=512)
def replayed(source: tuple[int, ...], steps: tuple[Step, ...]) -> Tensor:
    """For each element of what `steps` make of a tensor of shape `source`: which of the
    tensor's elements it is."""
    where = torch.arange(prod(source)).reshape(source)
    for kind, numbers in steps:
        if kind == "reshape":
            where = where.reshape(numbers)
        elif kind == "permute":
            where = where.permute(numbers)
        elif kind == "expand":
            where = where.expand(numbers)
        else:
            dim, start, end, step = numbers
            picked = torch.arange(start, min(end, where.shape[dim]), step)
            where = where.index_select(dim, picked)
    return where
