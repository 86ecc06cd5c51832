"""How large activations are, which the errors of some kernels depend on (`kernels.pairs`)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

RMS = "rms"
"""The key in a node's ``meta`` of the root mean square of its value."""


def measure(graph_module: GraphModule, inputs: Sequence[Tensor]) -> None:
    """Run the graph on `inputs` and note the root mean square of every floating-point value."""
    with torch.inference_mode():
        _Meter(graph_module).run(*inputs)


def rms(value: Tensor) -> float:
    """The root mean square of a tensor's elements; of none, 0."""
    return float(value.double().square().mean().sqrt()) if value.numel() else 0.0


class _Meter(Interpreter):
    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor) and value.is_floating_point():
            n.meta[RMS] = rms(value)
        return value
