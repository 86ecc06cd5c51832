"""How a dialect op is declared: one reference, one fake, one cost.

`define` turns a plain-torch function into a torch custom op of the namespace ``efcompile``.
The function itself is the reference (every stage of the pipeline still runs in eager
through it); the fake is the same function run on meta tensors, so the two cannot disagree.
Operands are channels-last: images [N, H, W, C], tokens [N, T, C].
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

Reference = Callable[..., Tensor]


@dataclass(frozen=True)
class Op:
    """A dialect op. `flops(args, out)` counts multiply and add as two; `args` are the named
    arguments with tensors as meta tensors, `out` is the result's shape; `reference` is the
    function itself, which torch can trace through."""

    name: str
    overload: Any
    flops: Callable[[dict[str, Any], tuple[int, ...]], int]
    reference: Reference


OPS: dict[str, Op] = {}


def define(
    flops: Callable[[dict[str, Any], tuple[int, ...]], int],
) -> Callable[[Reference], Any]:
    """Declare the decorated reference as ``efcompile::<its name>`` with the given cost.

    The reference must not return a view of an operand: torch forbids aliasing custom ops,
    so the result is made contiguous and, if it still shares storage, copied.
    """

    def wrap(reference: Reference) -> Any:
        name = reference.__name__

        def run(*args: Any, **kwargs: Any) -> Tensor:
            out = reference(*args, **kwargs).contiguous()
            shared = {t.untyped_storage()._cdata for t in _tensors((args, kwargs))}
            return out.clone() if out.untyped_storage()._cdata in shared else out

        run.__name__ = name
        run.__signature__ = inspect.signature(reference)  # type: ignore[attr-defined]
        run.__annotations__ = reference.__annotations__
        op = torch.library.custom_op(f"efcompile::{name}", run, mutates_args=())

        def fake(*args: Any, **kwargs: Any) -> Tensor:
            out = reference(*args, **kwargs)
            return out.new_empty(out.shape)

        op.register_fake(fake)
        overload = getattr(torch.ops.efcompile, name).default
        OPS[name] = Op(name, overload, flops, reference)
        return overload

    return wrap


def op_of(node: Node) -> Op | None:
    """The dialect op that `node` calls, or None."""
    if node.op != "call_function":
        return None
    op = OPS.get(getattr(node.target, "_opname", ""))
    return op if op is not None and node.target is op.overload else None


def arguments(node: Node) -> dict[str, Any]:
    """Arguments of a dialect (or any ATen overload) node by schema name, defaults filled in."""
    overload: Any = node.target
    schema = overload._schema
    named: dict[str, Any] = {}
    for position, argument in enumerate(schema.arguments):
        if position < len(node.args):
            named[argument.name] = node.args[position]
        elif argument.name in node.kwargs:
            named[argument.name] = node.kwargs[argument.name]
        else:
            named[argument.name] = argument.default_value
    return named


def _tensors(value: Any) -> list[Tensor]:
    found: list[Tensor] = []
    torch.utils._pytree.tree_map_only(Tensor, found.append, value)
    return found
