import pytest
import torch
from torch import Tensor

from efcompile.errors import UnsupportedOpError
from efcompile.lowering.decompositions import PRIMITIVES
from efcompile.lowering.primitives import decompose, describe
from tests.lowering.leftover_runner import captured, leftover_nodes


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(5, 4))

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        scaled = torch.nn.functional.elu(x) * (self.table.exp() + 1).softmax(0)
        return scaled + y, scaled


def test_the_program_computes_the_group() -> None:
    model, inputs = Model().eval(), (torch.randn(2, 5, 4), torch.randn(2, 5, 4))
    graph_module = captured(model, inputs)
    found = decompose(graph_module, leftover_nodes(graph_module))
    results = found.program.module()(*inputs)
    for got, wanted in zip(results, reversed(model(*inputs)), strict=True):
        torch.testing.assert_close(got, wanted)
    assert [node.name for node in found.inputs] == ["x", "y"]


def test_only_primitives_are_left_and_constants_are_folded() -> None:
    inputs = (torch.randn(2, 5, 4), torch.randn(2, 5, 4))
    graph_module = captured(Model(), inputs)
    found = decompose(graph_module, leftover_nodes(graph_module))
    ops = [str(n.target) for n in found.program.graph.nodes if n.op == "call_function"]
    assert set(ops) <= PRIMITIVES
    assert "aten._softmax.default" not in ops  # of a constant: computed here


def test_errors_name_the_op_and_its_module() -> None:
    graph_module = captured(lambda x: x.sort(1).values, [torch.randn(2, 3)])
    nodes = leftover_nodes(graph_module)
    nodes[0].meta["custom"] = {"source": ("head.ranking",)}
    with pytest.raises(UnsupportedOpError, match=r"aten\.sort\.default \(head\.ranking\)"):
        decompose(graph_module, nodes)


def test_long_groups_are_described_in_short() -> None:
    def chain(x: Tensor) -> Tensor:
        for function in (torch.sin, torch.cos, torch.exp, torch.tanh, torch.erf):
            x = function(x) + 1
        return x.abs().sqrt().floor().neg().ceil()

    nodes = leftover_nodes(captured(chain, [torch.randn(3)]))
    assert describe(nodes).endswith("and 3 more")
