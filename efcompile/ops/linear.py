"""Matrix products over the last dimension."""

from math import prod
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from efcompile.ops import activation
from efcompile.ops.registry import define


def _linear_flops(args: dict[str, Any], out: tuple[int, ...]) -> int:
    return 2 * prod(out) * int(args["weight"].shape[1])


@define(flops=_linear_flops)
def linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    act: str = "none",
) -> Tensor:
    """``act(x @ weight.T + bias) + residual``: x [..., K], weight [N, K], bias [N] -> [..., N].

    A 1x1 stride-1 convolution of a channels-last image is this op.
    """
    return activation.apply(F.linear(x, weight, bias), act, residual)


def _matmul_flops(args: dict[str, Any], out: tuple[int, ...]) -> int:
    return 2 * prod(out) * int(args["a"].shape[-1])


@define(flops=_matmul_flops)
def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Batched product, both operands activations: a [..., M, K], b [..., K, N] -> [..., M, N]."""
    return a @ b
