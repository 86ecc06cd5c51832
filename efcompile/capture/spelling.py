"""The table of spellings: how each traced ATen call is written in the normal form.

A rule takes the call with its operands already rewritten and gives its value: a node, or a
list of nodes where the call has several results.  Ops without a rule stay as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from efcompile.capture.builder import Builder
from efcompile.capture.shapes import evaluate


@dataclass(frozen=True)
class Call:
    """A traced call: an operator overload and its rewritten arguments."""

    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @cached_property
    def named(self) -> dict[str, Any]:
        """Arguments by schema name, defaults filled in."""
        named: dict[str, Any] = {}
        for position, argument in enumerate(self.target._schema.arguments):
            if position < len(self.args):
                named[argument.name] = self.args[position]
            else:
                named[argument.name] = self.kwargs.get(argument.name, argument.default_value)
        return named

    @cached_property
    def result(self) -> Any:
        """The call's value as meta tensors."""
        return evaluate(self.target, self.args, self.kwargs)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a call with one result."""
        return tuple(self.result.shape)

    def __getitem__(self, name: str) -> Any:
        return self.named[name]


Rule = Callable[[Builder, Call], Any]
RULES: dict[str, Rule] = {}
"""Overload name, such as ``aten.view.default`` -> rule."""


def spelled(*names: str) -> Callable[[Rule], Rule]:
    """Register the decorated rule for overloads of the namespace aten, such as ``t.default``."""

    def register(rule: Rule) -> Rule:
        for name in names:
            RULES[f"aten.{name}"] = rule
        return rule

    return register


def has_value(x: Any) -> bool:
    """Whether `x` is a node with a tensor value."""
    return isinstance(x, Node) and isinstance(x.meta["val"], Tensor)


def dtype_of(x: Node) -> torch.dtype:
    """Element type of a node's value."""
    dtype: torch.dtype = x.meta["val"].dtype
    return dtype
