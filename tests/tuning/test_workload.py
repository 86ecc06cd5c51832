"""A model's tasks are its distinct kernels, with data that shows mistakes."""

import dataclasses

import numpy as np
import torch

from efcompile.kernels import mlp, registry
from efcompile.kernels.kernel import Operand
from efcompile.ops import OPS
from efcompile.tuning.workload import example, with_noise
from tests.kernels.attention_cases import Case
from tests.kernels.harness import op_call
from tests.tuning.model import task, tasks


def test_equal_kernels_are_one_task_that_counts_its_calls() -> None:
    found = {one.kernel.name: one for one in tasks()}
    assert set(found) >= {"conv_direct", "mlp"}
    assert found["mlp"].times == 2
    assert {"up.0", "up.1", "down.0", "down.1"} <= set(found["mlp"].sources)
    assert found["conv_direct"].times == 1
    assert len({one.key for one in tasks()}) == len(tasks())


def test_constants_are_not_hidden_by_a_layer_scale() -> None:
    """The model scales its branch by 1e-5, which any mistake in it would pass."""
    call = task("mlp").call
    given, expected = example(call)
    branch = expected - given["residual"].reshape(expected.shape)
    assert np.abs(branch).max() > 0.1 * np.abs(expected).max()
    assert mlp.KERNEL.shape_of(call) == task("mlp").shape


def test_an_example_is_the_same_every_time_and_right() -> None:
    call = task("mlp").call
    (first, expected), (again, same) = example(call), example(call)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert np.array_equal(expected, same)
    args = {
        name: torch.from_numpy(first[name] if value.value is None else value.value)
        if isinstance(value, Operand)
        else value
        for name, value in call.args.items()
    }
    assert np.array_equal(OPS["mlp"].overload(**args).numpy(), expected)


def test_a_constant_that_decides_the_shape_stays() -> None:
    """Attention reads a bias of relative positions from its table, if it is one."""
    side = 4
    at = np.arange(side * side)
    down = at[:, None] // side - at[None] // side + side - 1
    across = at[:, None] % side - at[None] % side + side - 1
    table = np.random.default_rng(0).standard_normal((2, 2 * side - 1, 2 * side - 1))
    bias = torch.from_numpy(table[:, down, across][None].astype(np.float32))
    case = Case(batch=1, queries=side * side, keys=side * side)
    arguments = {"mix1": None, "mix2": None, "mix2_bias": None, **case.args(), "bias": bias}
    call = op_call("attention", constants=("bias",), **arguments)
    found = registry.find(call)
    assert not isinstance(found, str), found
    kernel, shape = found
    other = dataclasses.replace(call, args=call.args | {"bias": Operand(bias.shape, "float32",
        np.random.default_rng(1).standard_normal(bias.shape).astype(np.float32))})  # fmt: skip
    assert kernel.shape_of(other) != shape, "the shape does not depend on the bias any more"
    noisy = with_noise(kernel, call)
    assert kernel.shape_of(noisy) == shape
    assert np.array_equal(noisy.value("bias"), call.value("bias"))


def test_an_input_that_is_the_residual_too_is_one_array() -> None:
    given, _ = example(task("mlp").call)
    assert given["x"] is given["residual"]
