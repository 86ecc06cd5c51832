import numpy as np
import torch

from efcompile.kernels.attention_bias import BiasPointers, padded_bias
from efcompile.kernels.attention_shape import Shape, shape_of
from efcompile.kernels.emit import Emitter
from tests.kernels.attention_cases import NOTHING, Case
from tests.kernels.harness import op_call


def declared(size: tuple[int, ...] | None, constant: bool) -> tuple[BiasPointers, np.ndarray]:
    args = {**NOTHING, **Case().args()}
    if size is not None:
        args["bias"] = torch.rand(size)
    call = op_call("attention", ("bias",) if constant else (), **args)
    shape = shape_of(call)
    assert isinstance(shape, Shape)
    return BiasPointers.declare(Emitter(), shape, 16), padded_bias(call, shape, 16)


def test_padding_is_masked() -> None:
    pointers, array = declared((1, 2, 13, 13), constant=True)
    assert array.shape == (1, 2, 13, 16)
    assert np.isfinite(array[..., :13]).all() and (array[..., 13:] == -np.inf).all()
    assert pointers.strides == (0, 13 * 16, 16) and pointers.run_time is None


def test_a_column_is_repeated() -> None:
    pointers, array = declared((2, 1, 1, 1), constant=True)
    assert array.shape == (2, 1, 1, 16) and (array[..., :13] == array[..., :1]).all()
    assert pointers.strides == (16, 0, 0)


def test_without_a_constant_there_is_only_the_mask() -> None:
    for size in (None, (1, 2, 13, 13)):
        pointers, array = declared(size, constant=False)
        assert array.shape == (1, 1, 1, 16) and (array[..., :13] == 0).all()
        assert pointers.strides == (0, 0, 0)
        assert (pointers.run_time is None) == (size is None)
    assert pointers.run_time_strides == (0, 13 * 13, 13)
