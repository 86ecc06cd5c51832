from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from efcompile.lowering.decompositions import PRIMITIVES, decompositions


def traced(function: Callable[[Tensor], Tensor], x: Tensor) -> Any:
    return make_fx(function, decomposition_table=decompositions())(x)


def ops(graph_module: Any) -> list[str]:
    return [str(n.target) for n in graph_module.graph.nodes if n.op == "call_function"]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.add(x, x.flip(0), alpha=0.5),
        lambda x: x.long() / 2,
        lambda x: x * torch.arange(4),
        lambda x: x[torch.tensor([[0, -1], [1, 1]])],
        lambda x: x[torch.tensor([0, 1]), :, torch.tensor([3, -1])],
        lambda x: x.select(-1, -2),
        lambda x: torch.nn.functional.pad(x, (-1, 2, 1, -1)),
        lambda x: torch.nn.functional.group_norm(x, 1),
        lambda x: x.gather(2, x.argsort(2)),
        lambda x: torch.div(x, 0.3, rounding_mode="floor"),
        lambda x: x.max(1).values,
    ],
)
def test_computes_the_same(function: Callable[[Tensor], Tensor]) -> None:
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(traced(function, x)(x), function(x), rtol=1e-5, atol=1e-6)


def test_scales_are_multiplied_out() -> None:
    graph_module = traced(lambda x: torch.sub(x, x, alpha=3), torch.randn(3))
    assert all(not n.kwargs for n in graph_module.graph.nodes)
    assert ops(graph_module) == ["aten.mul.Tensor", "aten.sub.Tensor"]


def test_operands_are_cast_before_they_meet() -> None:
    graph_module = traced(lambda x: x.long() * 0.5, torch.randn(3))
    assert ops(graph_module)[-2:] == ["aten._to_copy.default", "aten.mul.Tensor"]


def test_primitives_are_left_alone() -> None:
    table = decompositions()
    assert not [op for op in core_of_primitives(table) if op not in _ONLY_SOMETIMES]


def core_of_primitives(table: dict[Any, Any]) -> list[str]:
    return [str(op) for op in table if str(op) in PRIMITIVES]


_ONLY_SOMETIMES = {
    "aten.constant_pad_nd.default",
    "aten.mean.dim",
    *(name for name in PRIMITIVES if name.endswith((".Tensor", ".Scalar"))),
    *(f"aten.{name}.default" for name in ("atan2", "maximum", "minimum")),
    "aten.pow.Tensor_Scalar",
    "aten.pow.Tensor_Tensor",
}
"""Decomposed when their operands or options need it."""
