"""NaN and infinity in an input go through every kernel as through its op in eager mode."""

from typing import Any

import numpy as np
import pytest
import torch

from efcompile.targets.target import Target
from tests.kernels.cases import CASES, CONSTANTS
from tests.kernels.harness import assert_close, on_every_target, op_call, reference, run_built


def poison(x: torch.Tensor) -> None:
    """Put both infinities and NaN into different rows of x, one of each."""
    rows = x.view(-1, x.shape[-1])
    rows[0, 1] = float("inf")
    rows[len(rows) // 3, -1] = -float("inf")
    rows[-1, x.shape[-1] // 2] = float("nan")


def poisoned_arguments(name: str) -> dict[str, Any]:
    torch.manual_seed(0)
    args = CASES[name][1]()
    first = next(value for key, value in args.items() if key in ("x", "q", "a", "tensors"))
    poison(first[0] if isinstance(first, list) else first)
    # Eager's AVX-512 gelu gives NaN at infinity, its scalar code the limit.
    return args | {act: "relu" for act in ("act", "act1", "act2") if act in args}


@on_every_target
@pytest.mark.parametrize("name", CASES)
def test_goes_through_as_in_eager(name: str, target: Target) -> None:
    kernel, args = CASES[name][0], poisoned_arguments(name)
    call = op_call(kernel.op, [c for c in CONSTANTS if c in args], **args)
    got, wanted = run_built(kernel, call, args, target), reference(kernel.op, **args).numpy()
    finite = np.isfinite(wanted)
    assert not finite.all() and finite.any()
    np.testing.assert_array_equal(got[~finite], wanted[~finite])
    assert_close(got[finite], wanted[finite])
