"""Every op: reference against plain torch, fake against real, cost of the right size."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx import symbolic_trace
from torch.library import opcheck

from efcompile.ops.registry import OPS, arguments, op_of


def rand(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


VIEW = [0, 2 * 5 * 4, 4, 2 * 4, 1]
CALLS: dict[str, tuple[Any, ...]] = {
    "activation": (rand(2, 5), "gelu"),
    "affine": (rand(2, 3, 4), rand(4), rand(4), "relu"),
    "attention": (
        rand(3, 5, 8), rand(3, 5, 8), rand(3, 5, 8), rand(1, 2, 5, 5), rand(2, 2), rand(2, 2),
        rand(2), [3, 2, 5, 5, 4, 4], VIEW, VIEW, VIEW, 0.5,
    ),
    "avg_pool2d": (rand(2, 7, 5, 3), [3, 3], [2, 2], [1, 1], True, False),
    "binary": (rand(2, 3, 4), rand(3, 1), "mul", "relu"),
    "concat": ([rand(2, 3), rand(2, 4)], 1),
    "conv2d": (
        rand(2, 7, 5, 4), rand(6, 3, 3, 2), rand(6), rand(2, 4, 3, 6), [2, 2], [1, 1], [1, 1], 2,
        "gelu",
    ),
    "expand": (rand(1, 3), [4, 3]),
    "ffn": (
        rand(2, 5, 7, 3), rand(6, 3), rand(6), rand(6, 3, 3, 1), rand(6), rand(4, 6), rand(4), None,
        [2, 2], [1, 1], "gelu", "relu",
    ),
    "gather": (rand(3, 4, 2), torch.tensor([[0, 3], [1, 1]]), 1),
    "group_norm": (rand(2, 3, 5, 4), 2, rand(4), rand(4), 1e-5),
    "layer_norm": (rand(2, 3, 4), rand(4), None, 1e-5),
    "linear": (rand(2, 3, 4), rand(5, 4), rand(5), rand(2, 3, 5), "silu"),
    "matmul": (rand(2, 3, 4), rand(2, 4, 5)),
    "max_pool2d": (rand(2, 7, 5, 3), [3, 3], [2, 2], [1, 1], [1, 1], False),
    "mean": (rand(2, 3, 4), [1], True),
    "mlp": (rand(2, 3, 4), rand(8, 4), rand(8), rand(5, 8), None, rand(2, 3, 5), "gelu"),
    "norm_linear": (rand(2, 3, 4), rand(5, 4), rand(5), 1e-5, "gelu"),
    "pad": (rand(2, 3), [1, 2, 0, 1], 0.5),
    "permute": (rand(2, 3, 4), [2, 0, 1]),
    "pool_linear": (rand(2, 3, 5, 4), rand(6, 4), rand(6), "before", 1e-5),
    "pool_mixer": (rand(2, 5, 7, 3), rand(2, 5, 7, 3), rand(3), 3),
    "resize": (rand(2, 3, 4, 5), [6, 8], "bilinear", False, [2.0, 2.0], "gelu"),
    "scalar": (rand(2, 3), 2.0, -1.0),
    "separable": (
        rand(2, 7, 9, 6), rand(6, 3, 5, 1), rand(6), rand(4, 6), rand(4), None, [2, 1], [1, 2],
        [1, 1], "gelu", "relu",
    ),
    "slice": (rand(4, 5), 1, 1, 4, 2),
    "softmax": (rand(2, 3, 4),),
}  # fmt: skip
"""One call of every op, odd sizes, batch above one."""


def test_every_op_has_a_case() -> None:
    assert set(CALLS) == set(OPS)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_fake_agrees_with_reference(name: str) -> None:
    opcheck(OPS[name].overload, CALLS[name], test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize("name", sorted(CALLS))
def test_result_is_contiguous_and_owns_its_memory(name: str) -> None:
    out = OPS[name].overload(*CALLS[name])
    assert out.is_contiguous()
    operands = [a for a in CALLS[name] if isinstance(a, Tensor)]
    assert all(out.data_ptr() != a.data_ptr() for a in operands)


MACS = {
    "attention": 3 * 2 * 5 * 5 * (4 + 4),
    "conv2d": 2 * 4 * 3 * 6 * 9 * 2,
    "ffn": 2 * 6 * (5 * 7 * 3 + 3 * 4 * (9 + 4)),
    "linear": 2 * 3 * 5 * 4,
    "matmul": 2 * 3 * 5 * 4,
    "mlp": 2 * 3 * 8 * (4 + 5),
    "norm_linear": 2 * 3 * 5 * 4,
    "pool_linear": 2 * 6 * 4,
    "separable": 2 * 4 * 9 * 6 * (3 * 5 + 4),
}
"""Multiply-adds of the products in `CALLS`, counted by hand."""


@pytest.mark.parametrize("name", sorted(CALLS))
def test_flops(name: str) -> None:
    op = OPS[name]
    out = op.overload(*CALLS[name])
    names = [argument.name for argument in op.overload._schema.arguments]
    defaults = {a.name: a.default_value for a in op.overload._schema.arguments}
    cost = op.flops(defaults | dict(zip(names, CALLS[name], strict=False)), tuple(out.shape))
    if name in ("permute", "slice", "expand", "concat", "gather", "pad"):
        assert cost == 0
    elif name in MACS:
        # What is not a product (bias, softmax, norm) is small beside it, but may be counted.
        assert 2 * MACS[name] <= cost <= 5 * MACS[name]
    else:
        assert cost >= out.numel()


def test_op_of_and_arguments() -> None:
    class Model(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ops.efcompile.linear(torch.relu(x), x, act="relu")  # type: ignore[no-any-return]

    nodes = {n.name: n for n in symbolic_trace(Model()).graph.nodes}
    linear = nodes["linear"]
    linear.target = OPS["linear"].overload
    assert op_of(linear) is OPS["linear"]
    assert op_of(nodes["relu"]) is None
    assert op_of(nodes["x"]) is None
    named = arguments(linear)
    assert list(named) == ["x", "weight", "bias", "residual", "act"]
    assert named["weight"] is nodes["x"] and named["bias"] is None and named["act"] == "relu"
