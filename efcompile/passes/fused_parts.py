"""The ops that a fused op is made of, as a chain, and the text that names such work.

A chain is about values of any kind: of graph nodes for the pass that writes the parts into a
graph, of operands for tuning, which builds and times them by themselves.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import Any

Arguments = Mapping[str, Any]
ShapeOf = Callable[[Any], tuple[int, ...] | None]
"""The shape of an argument that is a tensor; None of any other."""


class Previous(Enum):
    """Stands for a tensor in a chain."""

    RESULT = "the result of the part before"


PREVIOUS = Previous.RESULT


@dataclass(frozen=True)
class Part:
    """An op of the dialect with all its arguments, in the schema's order: the fused op's own
    values, or `PREVIOUS`."""

    op: str
    args: dict[str, Any]


def parts(op: str, args: Arguments, shape_of: ShapeOf) -> tuple[Part, ...]:
    """The chain that computes what `op` does with `args` (all, by name), its result last; empty
    if the op is not one that has parts."""
    rule = _RULES.get(op)
    return () if rule is None else rule(args, shape_of)


def signature(op: str, args: Arguments, shape_of: ShapeOf) -> str | None:
    """The work of one call as text, the same for the same work in any model: the op, the shapes
    of its operands, its numbers and words.  None if the op has no parts."""
    if op not in _RULES:
        return None
    words = []
    for name, value in args.items():
        dims = shape_of(value)
        if dims is None:
            listed = isinstance(value, list | tuple)
            words.append(f"{name}={[int(v) for v in value] if listed else value}")
        else:
            words.append(f"{name}[{'x'.join(str(d) for d in _counted(op, dims))}]")
    return f"{op}({', '.join(words)})"


def _counted(op: str, dims: tuple[int, ...]) -> tuple[int, ...]:
    """An MLP works row by row, whether they are of an image or of tokens."""
    return (prod(dims[:-1]), dims[-1]) if op == "mlp" and len(dims) > 2 else dims


def _mlp(args: Arguments, shape_of: ShapeOf) -> tuple[Part, ...]:
    """``linear(act) -> linear(residual)``."""
    return (
        _linear(args["x"], args["weight1"], args["bias1"], None, args["act"]),
        _linear(PREVIOUS, args["weight2"], args["bias2"], args["residual"], "none"),
    )


def _ffn(args: Arguments, shape_of: ShapeOf) -> tuple[Part, ...]:
    """``linear(act1) -> depthwise conv2d(act2) -> linear(residual)``."""
    return (
        _linear(args["x"], args["weight1"], args["bias1"], None, args["act1"]),
        _depthwise(PREVIOUS, args, shape_of, [1, 1], args["act2"]),
        _linear(PREVIOUS, args["weight2"], args["bias2"], args["residual"], "none"),
    )


def _separable(args: Arguments, shape_of: ShapeOf) -> tuple[Part, ...]:
    """``depthwise conv2d(act1) -> linear(act2, residual)``."""
    return (
        _depthwise(args["x"], args, shape_of, list(args["dilation"]), args["act1"]),
        _linear(PREVIOUS, args["weight"], args["bias"], args["residual"], args["act2"]),
    )


def _pool_mixer(args: Arguments, shape_of: ShapeOf) -> tuple[Part, ...]:
    """``avg_pool2d -> minus x -> times scale -> plus residual``, the last two where they are."""
    size = int(args["kernel"])
    pool = {
        "x": args["x"],
        "kernel": [size, size],
        "stride": [1, 1],
        "padding": [size // 2, size // 2],
        "ceil_mode": False,
        "count_include_pad": False,
    }
    chain = [Part("avg_pool2d", pool), _binary(args["x"], "sub")]
    if args["scale"] is not None:
        chain.append(_binary(args["scale"], "mul"))
    if args["residual"] is not None:
        chain.append(_binary(args["residual"], "add"))
    return tuple(chain)


def _linear(x: Any, weight: Any, bias: Any, residual: Any, act: str) -> Part:
    args = {"x": x, "weight": weight, "bias": bias, "residual": residual, "act": act}
    return Part("linear", args)


def _depthwise(x: Any, args: Arguments, shape_of: ShapeOf, dilation: list[int], act: str) -> Part:
    taps = shape_of(args["depthwise"])
    assert taps is not None
    conv = {
        "x": x,
        "weight": args["depthwise"],
        "bias": args["depthwise_bias"],
        "residual": None,
        "stride": [int(n) for n in args["stride"]],
        "padding": [int(n) for n in args["padding"]],
        "dilation": dilation,
        "groups": taps[0],
        "act": act,
        "nchw_input": False,
    }
    return Part("conv2d", conv)


def _binary(other: Any, kind: str) -> Part:
    return Part("binary", {"a": PREVIOUS, "b": other, "kind": kind, "act": "none"})


_RULES: dict[str, Callable[[Arguments, ShapeOf], tuple[Part, ...]]] = {
    "mlp": _mlp,
    "ffn": _ffn,
    "separable": _separable,
    "pool_mixer": _pool_mixer,
}
