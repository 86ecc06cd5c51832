from typing import Any

import numpy as np
import pytest
import torch

from efcompile.kernels.concat import KERNEL
from tests.kernels.harness import (
    TARGETS,
    assert_close,
    check,
    op_call,
    reference,
    run_built,
    run_plain,
)


@pytest.mark.parametrize(
    ("sizes", "dim"),
    [
        ([(2, 5, 3), (2, 5, 40), (2, 5, 1)], -1),
        ([(1, 1, 48), (1, 49, 48)], 1),  # a class token before its patches: split into pieces
        ([(3, 4, 5)], 0),
        ([(9, 8, 70), (9, 8, 64)], 2),
    ],
)
def test_matches_reference(sizes: list[tuple[int, ...]], dim: int) -> None:
    tensors = [torch.randn(size) for size in sizes]
    check(KERNEL, tensors=tensors, dim=dim)
    call = op_call("concat", tensors=tensors, dim=dim)
    wanted = reference("concat", tensors=tensors, dim=dim).numpy()
    assert_close(run_plain(KERNEL, call, tensors), wanted)


def test_few_long_rows_become_several_tasks() -> None:
    call = op_call("concat", tensors=[torch.zeros(1, 60, 96), torch.zeros(1, 4, 96)], dim=1)
    shape = KERNEL.shape_of(call)
    for target in TARGETS:
        knobs = KERNEL.default_knobs(shape, target)
        assert KERNEL.build("k", shape, target, knobs).tasks >= 2 * target.cores


def test_takes_empty_operands_and_booleans() -> None:
    for tensors in (
        [torch.randn(2, 0, 3), torch.randn(2, 4, 3)],
        [torch.rand(2, 5) > 0.5, torch.rand(2, 5) > 0.5],
    ):
        args: dict[str, Any] = {"tensors": tensors, "dim": 1}
        got = run_built(KERNEL, op_call("concat", **args), args)
        np.testing.assert_array_equal(got, reference("concat", **args).numpy())


def test_refusals() -> None:
    def reason(*tensors: torch.Tensor) -> str:
        shape = KERNEL.shape_of(op_call("concat", tensors=list(tensors), dim=0))
        assert isinstance(shape, str)
        return shape

    assert "types differ" in reason(torch.zeros(2), torch.zeros(2, dtype=torch.int64))
    assert "complex64" in reason(torch.zeros(2, dtype=torch.complex64))
    assert "rank" in reason(torch.zeros(0), torch.zeros(2, 3))
    assert "empty" in reason(torch.zeros(0, 3))
