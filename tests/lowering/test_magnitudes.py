import torch
from torch import nn

from efcompile.capture import capture
from efcompile.lowering.calls import operand_of
from efcompile.lowering.magnitudes import measure, rms


def test_every_value_is_measured() -> None:
    torch.manual_seed(0)
    captured = capture(nn.Sequential(nn.Linear(64, 64), nn.ReLU()), torch.randn(50, 64) * 8)
    graph_module = captured.graph_module
    measure(graph_module, captured.example_inputs)
    first = next(node for node in graph_module.graph.nodes if node.op == "placeholder")
    assert operand_of(graph_module, first).rms == rms(captured.example_inputs[0])
    calls = [node for node in graph_module.graph.nodes if node.op == "call_function"]
    sizes = [operand_of(graph_module, node).rms for node in calls]
    assert all(size is not None and 0.1 < size < 8 for size in sizes)


def test_the_root_of_the_mean_square() -> None:
    assert rms(torch.tensor([3.0, -4.0])) == 12.5**0.5
    assert rms(torch.zeros(0)) == 0.0
    assert rms(torch.full((2,), 1e30)) > 9e29
