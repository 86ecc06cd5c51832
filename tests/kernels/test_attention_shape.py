import pytest
import torch

from efcompile.kernels.attention_shape import Shape, pitch_of, shape_of
from tests.kernels.attention_cases import NOTHING, Case
from tests.kernels.harness import op_call


def test_reads_the_call() -> None:
    args = {**NOTHING, **Case().args(), "bias": torch.zeros(1, 2, 13, 13)}
    shape = shape_of(op_call("attention", ("bias",), **args))
    assert isinstance(shape, Shape)
    assert (shape.heads, shape.queries, shape.value_dim) == (2, 13, 12)
    assert shape.bias == (1, 2, 13, 13)
    assert not shape.bias_at_run_time and not shape.mixed
    assert [pitch_of(shape, lanes) for lanes in (4, 8, 16)] == [16, 16, 16]
    later = shape_of(op_call("attention", **args))
    assert isinstance(later, Shape) and later.bias_at_run_time


@pytest.mark.parametrize("name", ["mix1", "mix2", "mix2_bias"])
def test_mixes_must_be_constants(name: str) -> None:
    args = {**NOTHING, **Case().args(), name: torch.ones(2) if "bias" in name else torch.eye(2)}
    assert shape_of(op_call("attention", **args)) == f"{name} is not a constant"
    shape = shape_of(op_call("attention", (name,), **args))
    assert isinstance(shape, Shape) and shape.mixed
