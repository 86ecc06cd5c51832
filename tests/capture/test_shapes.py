"""Shapes of every node."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.fx import Node

from efcompile.capture import capture, propagate, shapes
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


def test_equal_calls_are_worked_out_once_and_only_equal_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 5))
    x = torch.randn(2, 4)
    graph_module = capture(model, x).graph_module
    worked_out = []
    plain = shapes.evaluate

    def counted(target: Any, *rest: Any) -> Any:
        worked_out.append(target)
        return plain(target, *rest)

    monkeypatch.setattr(shapes, "evaluate", counted)
    known: shapes.Known = {}
    for _ in range(2):
        propagate(graph_module, (x,), known)
    assert len(worked_out) == 3, "two sizes of linear, one relu"
    assert [tuple(n.meta["val"].shape) for n in _calls(graph_module)] == [(2, 4)] * 4 + [(2, 5)]
    propagate(graph_module, (torch.randn(3, 4),), known)
    assert [n.meta["val"].shape[0] for n in _calls(graph_module)] == [3] * 5


def test_numbers_that_compare_equal_are_different_calls() -> None:
    graph = torch.fx.Graph()
    x = graph.placeholder("x")
    whole = graph.call_function(torch.ops.aten.full.default, ([2], 1))
    real = graph.call_function(torch.ops.aten.full.default, ([2], 1.0))
    graph.output((x, whole, real))
    graph_module = torch.fx.GraphModule(nn.Module(), graph)
    propagate(graph_module, (torch.ones(2),), {})
    assert whole.meta["val"].dtype == torch.int64
    assert real.meta["val"].dtype == torch.float32
