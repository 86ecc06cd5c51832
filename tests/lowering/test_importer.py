import numpy as np
import pytest
import torch
from torch import Tensor

from efcompile.errors import UnsupportedOpError
from efcompile.lowering.importer import import_program


class Model(torch.nn.Module):
    bias: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bias", torch.arange(4.0))

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        left, right = torch.ops.aten.split_with_sizes(x, [1, 2], 0)
        return left.exp() + y, right, y, self.bias


def test_reads_steps_inputs_outputs_and_constants() -> None:
    program = torch.export.export(Model(), (torch.randn(3, 4), torch.randn(1, 4)))
    found = import_program(program)
    assert len(found.inputs) == 2
    left, right, passed, bias = found.outputs
    assert found.buffers[left] == ((1, 4), "float32")
    assert found.buffers[right] == ((2, 4), "float32")
    assert passed == found.inputs[-1]
    np.testing.assert_array_equal(found.constants[bias], np.arange(4.0))
    assert {left, right} <= {name for step in found.steps for name in step.args}


def test_says_what_the_importer_does_not_know() -> None:
    program = torch.export.export(_Sorted(), (torch.randn(3, 4),))
    with pytest.raises(UnsupportedOpError, match="cummax"):
        import_program(program)


class _Sorted(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cummax(x, 1).values
