"""From a trace to the normal form: one spelling per operation, no state, static shapes."""

import operator
from typing import Any

import torch
from torch import SymBool, SymFloat, SymInt, Tensor
from torch._ops import OpOverload
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree

from efcompile.capture import (
    spelling_activations,
    spelling_arithmetic,
    spelling_layers,
    spelling_movement,
)
from efcompile.capture.aliases import Aliases
from efcompile.capture.builder import Builder
from efcompile.capture.spelling import RULES, Call
from efcompile.capture.trace import Trace, source_of
from efcompile.errors import CaptureError

TABLES = (spelling_activations, spelling_arithmetic, spelling_layers, spelling_movement)
"""The modules that fill `RULES`."""

_DROPPED = ("aten._assert", "aten.sym_constrain", "aten._set_grad", "aten._functional_assert")


def normalise(trace: Trace, inputs: tuple[Tensor, ...]) -> GraphModule:
    """Rewrite `trace` to the normal form (see the package's docstring).

    Raises `CaptureError` for values or shapes that depend on tensors' contents, random numbers
    and outputs that are no tensors, and `ViewWrite` (see `aliases`) where an in-place operation
    writes through a view, which only a functional trace can express.
    """
    builder = Builder()
    values: dict[Node, Any] = {}
    waiting = list(inputs)
    for node in trace.graph.nodes:
        if node.op == "placeholder" and node.name not in trace.constants:
            values[node] = builder.placeholder(node.name, waiting.pop(0))
    for node in trace.graph.nodes:
        if node.name in trace.constants and node.users:
            values[node] = builder.constant(*trace.constants[node.name])
    aliases = Aliases(trace.graph)
    for node in trace.graph.nodes:
        if node.op == "call_function":
            builder.sources = source_of(node)
            _rewrite(builder, node, values, aliases)
    outputs = map_arg(trace.outputs, values.__getitem__)
    for position, value in enumerate(outputs):
        if not isinstance(value, Node):
            raise CaptureError(
                f"output {position} of the model is {value!r}, a {type(value).__name__}: "
                "a compiled model returns tensors only"
            )
    builder.graph.output(tuple(outputs))
    builder.graph.eliminate_dead_code()
    for name in [n for n in builder.graph_module._buffers if not _is_read(builder, n)]:
        del builder.graph_module._buffers[name]
    builder.graph.lint()
    builder.graph_module.recompile()
    return builder.graph_module


def _rewrite(builder: Builder, node: Node, values: dict[Node, Any], aliases: Aliases) -> None:
    args = map_arg(tuple(node.args), values.__getitem__)
    kwargs = map_arg(dict(node.kwargs), values.__getitem__)
    target = node.target
    if target is operator.getitem:
        source = args[0]
        assert isinstance(args[1], int)
        values[node] = source[args[1]] if isinstance(source, list) else builder.emit(target, *args)
        return
    if not isinstance(target, OpOverload):
        raise CaptureError(_dynamic(node))
    if str(target).startswith(_DROPPED) and not node.users:
        return
    _refuse_dynamic(node)
    if target._schema.is_mutable:
        written = aliases.written(node, values)
        values[node] = _emit(builder, functional(target), args, kwargs)
        values.update(dict.fromkeys(written, values[node]))
    else:
        values[node] = _emit(builder, target, args, kwargs)


def functional(target: OpOverload) -> OpOverload:
    """The overload that computes what an in-place one does: ``aten.add_.Tensor`` to
    ``aten.add.Tensor``."""
    namespace, name, overload = str(target).split(".")
    packet = getattr(getattr(torch.ops, namespace), name.removesuffix("_"), None)
    found = getattr(packet, overload, None)
    if not name.endswith("_") or not isinstance(found, OpOverload):
        raise CaptureError(f"{target} writes in place and has no functional form")
    return found


def _emit(builder: Builder, target: OpOverload, args: Any, kwargs: dict[str, Any]) -> Any:
    rule = RULES.get(str(target))
    if rule is not None:
        return rule(builder, Call(target, args, kwargs))
    if torch.Tag.nondeterministic_seeded in target.tags:
        raise CaptureError(
            f"{', '.join(builder.sources)} draws random numbers ({target}): "
            "a compiled model is deterministic"
        )
    if str(target).split(".")[1] in _FILLED or not any(
        isinstance(x, Node) for x in pytree.tree_leaves((args, kwargs))
    ):
        return builder.literal(_created(target, args, kwargs))
    name = target._schema.name
    overload = f"{name}.{target._schema.overload_name}".removesuffix(".")
    if torch._C._dispatch_has_kernel_for_dispatch_key(overload, "CompositeImplicitAutograd"):
        return _expand(builder, target, args, kwargs)
    value = builder.emit(target, *args, **kwargs)
    returns = target._schema.returns
    if len(returns) > 1 or "[]" in str(returns[0].type):
        return [builder.emit(operator.getitem, value, i) for i in range(len(value.meta["val"]))]
    return value


_FILLED = ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full")
"""Operators that read no more of their operand than its shape and type."""


def _created(target: OpOverload, args: Any, kwargs: dict[str, Any]) -> Tensor:
    """What an operation that reads no values creates (arange, zeros, ...)."""
    real = map_arg((args, kwargs), lambda n: torch.zeros_like(n.meta["val"], device="cpu"))
    value = target(*real[0], **real[1])
    if not isinstance(value, Tensor):
        raise CaptureError(f"{target} gives a {type(value).__name__}, not a tensor")
    return value


def _expand(builder: Builder, target: OpOverload, args: Any, kwargs: dict[str, Any]) -> Any:
    """Write an operation that torch itself composes of others (einsum, for one) as those."""
    flat, spec = pytree.tree_flatten((args, kwargs))
    places = [i for i, x in enumerate(flat) if isinstance(x, Node)]

    def call(*tensors: Tensor) -> Any:
        full = list(flat)
        for place, tensor in zip(places, tensors, strict=True):
            full[place] = tensor
        new_args, new_kwargs = pytree.tree_unflatten(full, spec)
        return target(*new_args, **new_kwargs)

    with torch.no_grad():
        traced = make_fx(call)(*[flat[place].meta["val"] for place in places])
    values: dict[Node, Any] = {}
    operands = [flat[place] for place in places]
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            values[node] = operands.pop(0)
        elif node.op == "call_function":
            if node.target is target:
                return builder.emit(target, *args, **kwargs)
            _rewrite(builder, node, values, Aliases(traced.graph))
        elif node.op == "output":
            return map_arg(node.args[0], values.__getitem__)
    raise AssertionError("a graph ends with its output")


def _is_read(builder: Builder, name: str) -> bool:
    return any(n.op == "get_attr" and n.target == name for n in builder.graph.nodes)


def _refuse_dynamic(node: Node) -> None:
    value = node.meta.get("val")
    tensors = value if isinstance(value, list | tuple) else [value]
    for item in tensors:
        if isinstance(item, SymInt | SymFloat | SymBool | int | float):
            raise CaptureError(_dynamic(node))
        if isinstance(item, Tensor) and not all(type(d) is int for d in item.shape):
            raise CaptureError(_dynamic(node))


def _dynamic(node: Node) -> str:
    return (
        f"in {', '.join(source_of(node))}, {node.target} gives a size or a number that depends on "
        "the values in a tensor: shapes must be static and control flow must not depend on data. "
        "Replace .item(), boolean masks and nonzero, or leave that part out of the model"
    )
