"""Shapes of every node."""

import pytest
import torch
from torch import nn
from torch.fx import Node

from efcompile.capture import capture, propagate
from efcompile.capture.shapes import as_meta, evaluate
from efcompile.errors import CaptureError


def _calls(graph_module: torch.fx.GraphModule) -> list[Node]:
    return [n for n in graph_module.graph.nodes if n.op == "call_function"]


def test_shapes_are_recomputed_and_other_metadata_stays() -> None:
    x = torch.randn(2, 3, 5, 5)
    graph_module = capture(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), x).graph_module
    nodes = [n for n in graph_module.graph.nodes if n.op != "output"]
    wanted = {n: n.meta.pop("val") for n in nodes}
    sources = {n: n.meta.get("custom") for n in nodes}
    propagate(graph_module, (x,))
    for node in nodes:
        value = node.meta["val"]
        assert value.device.type == "meta" and value.dtype == wanted[node].dtype
        assert value.shape == wanted[node].shape
        assert node.meta.get("custom") == sources[node]


def test_operands_that_do_not_fit_are_named_with_their_module() -> None:
    graph_module = capture(nn.Sequential(nn.Linear(3, 4)), torch.randn(2, 3)).graph_module
    with pytest.raises(CaptureError, match=r"node linear \(from 0\) does not fit"):
        propagate(graph_module, (torch.randn(2, 5),))


def test_results_count_as_contiguous() -> None:
    graph_module = capture(nn.Identity(), torch.randn(2, 3)).graph_module
    (node,) = [n for n in graph_module.graph.nodes if n.op == "placeholder"]
    moved = evaluate(torch.ops.aten.permute.default, (node, [1, 0]))
    assert moved.shape == (3, 2) and moved.is_contiguous() and moved.is_meta
    assert as_meta(torch.ones(3, 2).T).stride() == (3, 1)
