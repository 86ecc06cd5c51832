"""Chains and signatures, of plain values; what they compute: tests/passes/test_split_fused.py."""

from typing import Any

import pytest

from efcompile import ops
from efcompile.passes.fused_parts import PREVIOUS, parts, signature

MIXER = {"x": (1, 5, 7, 6), "residual": (1, 5, 7, 6), "scale": (6,), "kernel": 3}
SEPARABLE = {
    "x": (1, 5, 7, 6),
    "depthwise": (6, 3, 5, 1),
    "depthwise_bias": None,
    "weight": (8, 6),
    "bias": (8,),
    "residual": None,
    "stride": [2, 1],
    "padding": [1, 2],
    "dilation": [1, 1],
    "act1": "relu",
    "act2": "none",
}


def shape_of(value: Any) -> tuple[int, ...] | None:
    return value if isinstance(value, tuple) else None


@pytest.mark.parametrize(("op", "args"), [("pool_mixer", MIXER), ("separable", SEPARABLE)])
def test_a_chain_has_every_argument_of_its_ops(op: str, args: dict[str, Any]) -> None:
    chain = parts(op, args, shape_of)
    assert [PREVIOUS in part.args.values() for part in chain] == [False] + [True] * (len(chain) - 1)
    for part in chain:
        schema = ops.OPS[part.op].overload._schema
        assert list(part.args) == [argument.name for argument in schema.arguments]


def test_what_is_absent_makes_no_part() -> None:
    assert [p.args.get("kind") for p in parts("pool_mixer", MIXER, shape_of)] == [
        None,
        "sub",
        "mul",
        "add",
    ]
    bare = MIXER | {"residual": None, "scale": None}
    assert [p.op for p in parts("pool_mixer", bare, shape_of)] == ["avg_pool2d", "binary"]


def test_signature() -> None:
    assert signature("separable", SEPARABLE, shape_of) == (
        "separable(x[1x5x7x6], depthwise[6x3x5x1], depthwise_bias=None, weight[8x6], bias[8], "
        "residual=None, stride=[2, 1], padding=[1, 2], dilation=[1, 1], act1=relu, act2=none)"
    )


def test_other_ops_have_none() -> None:
    assert parts("linear", {"x": (1, 2)}, shape_of) == ()
    assert signature("linear", {"x": (1, 2)}, shape_of) is None
