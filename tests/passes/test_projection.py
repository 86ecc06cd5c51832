"""Reading and writing convolutions and linears."""

import torch
from torch import nn
from torch.fx import GraphModule, Node

from efcompile.passes.base import clean, set_sources, sources
from efcompile.passes.projection import (
    CONV2D,
    LINEAR,
    Projection,
    emit_projection,
    projection,
    scaled,
    substitute,
)
from tests.passes.dialect import captured, image, results


def _found(graph_module: GraphModule, target: object) -> Projection:
    (node,) = [n for n in graph_module.graph.nodes if n.target is target]
    found = projection(graph_module, node)
    assert found is not None
    return found


def test_reads_a_convolution() -> None:
    found = _found(captured(nn.Conv2d(4, 6, 3, 2, 1, groups=2), image(2, 4, 9, 7)), CONV2D)
    assert found.is_conv and found.channel_dim == 1 and found.groups == 2
    assert found.geometry == ("conv2d", (3, 3), (2, 2), (1, 1), (1, 1))
    assert found.rows(torch.ones(6)).shape == (6, 1, 1, 1)


def test_reads_a_linear() -> None:
    found = _found(captured(nn.Linear(4, 6, bias=False), image(2, 5, 4)), LINEAR)
    assert not found.is_conv and found.channel_dim == 2 and found.groups == 1
    assert found.bias is None and found.geometry == ("linear",)


def test_weights_that_are_computed_are_no_projection() -> None:
    class Computed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(x, x.exp())

    graph_module = captured(Computed(), image(5, 4))
    (node,) = [n for n in graph_module.graph.nodes if n.target is LINEAR]
    assert projection(graph_module, node) is None
    assert projection(graph_module, node.args[1]) is None


def test_scaled_scales_and_shifts_rows() -> None:
    x = image(2, 5, 4)
    graph_module = captured(nn.Linear(4, 3), x)
    (before,) = results(graph_module, (x,))
    old = _found(graph_module, LINEAR)
    scale, shift = torch.tensor([1.0, 2.0, -3.0]).double(), torch.tensor([0.0, 5.0, 7.0]).double()
    substitute(old.node, scaled(graph_module, old, scale, shift))
    clean(graph_module)
    (after,) = results(graph_module, (x,))
    torch.testing.assert_close(after, before * scale.float() + shift.float())


def test_new_projections_keep_names_types_and_sources() -> None:
    graph_module = captured(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), image(2, 4))
    old = _found(graph_module, LINEAR)
    other: Node = next(iter(old.node.users))
    set_sources(other, other)
    for _ in range(2):
        new = emit_projection(graph_module, old, old.weight.double(), None, other)
        substitute(old.node, new)
        clean(graph_module)
        old = _found(graph_module, LINEAR)
    assert old.weight.dtype == torch.float32 and old.bias is None
    assert sources(new) == ("0", "1")
    weight = new.args[1]
    assert isinstance(weight, Node) and weight.target in ("0_weight", "0_weight_1")
