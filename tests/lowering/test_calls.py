import torch
from torch import nn
from torch.fx import GraphModule, Node

from efcompile.capture import capture, propagate
from efcompile.lowering.calls import bytes_of, dtype_name, flops_of, op_call, runtime_nodes
from efcompile.ops import op_of
from efcompile.passes.legalise import Legalise


class _Join(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.linear(x), x], -1)


def _legal() -> tuple[GraphModule, dict[str, Node]]:
    x = torch.randn(2, 3, 6)
    graph_module = capture(_Join(), x).graph_module
    Legalise().run(graph_module)
    propagate(graph_module, (x,))
    found = {op.name: n for n in graph_module.graph.nodes if (op := op_of(n)) is not None}
    return graph_module, found


def test_operands_carry_shapes_and_constant_values() -> None:
    graph_module, nodes = _legal()
    call = op_call(graph_module, nodes["linear"])
    assert call.operand("x").shape == (2, 3, 6) and call.constant("x") is None
    weight = call.constant("weight")
    assert weight is not None and weight.shape == (4, 6)
    assert call.args["act"] == "none" and call.args["residual"] is None
    assert call.out.shape == (2, 3, 4)


def test_lists_of_tensors_are_numbered() -> None:
    graph_module, nodes = _legal()
    call = op_call(graph_module, nodes["concat"])
    assert [operand.shape for operand in call.args["tensors"]] == [(2, 3, 4), (2, 3, 6)]
    assert set(runtime_nodes(nodes["concat"])) == {"tensors.0", "tensors.1"}


def test_costs() -> None:
    _, nodes = _legal()
    assert flops_of(nodes["linear"]) == 2 * 6 * 6 * 4
    assert bytes_of(nodes["linear"]) == 4 * (2 * 3 * 6 + 4 * 6 + 4 + 2 * 3 * 4)


def test_dtype_names_are_numpys() -> None:
    assert (dtype_name(torch.float32), dtype_name(torch.int64)) == ("float32", "int64")
