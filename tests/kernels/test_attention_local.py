from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from efcompile.kernels import attention, attention_mixed
from efcompile.kernels.attention_local import near_floats, pack_local
from efcompile.kernels.attention_shape import Shape, shape_of
from efcompile.kernels.kernel import Kernel
from efcompile.targets.target import Target
from tests.kernels.attention_cases import NOTHING, OPERANDS, Case
from tests.kernels.emulated import ARM64
from tests.kernels.harness import (
    AVX2,
    HOST,
    assert_close,
    check,
    on_every_target,
    op_call,
    reference,
    run_built,
)

CONSTANTS = ("bias", "mix1", "mix2", "mix2_bias", "local", "local_bias")

GRIDS = {
    "same": (3, 5, 1, 1, 1, 1),
    "strided": (5, 6, 2, 2, 1, 1),
    "uneven": (6, 5, 2, 1, 0, 1),
}


def convolved(
    grid: tuple[int, ...], mixed: bool = False, act: str = "none", **changes: Any
) -> dict[str, Any]:
    """An attention of which the values are an image, convolved by 3 x 3 taps."""
    height, width, *steps = grid
    down = (height + 2 * steps[2] - 3) // steps[0] + 1
    across = (width + 2 * steps[3] - 3) // steps[1] + 1
    case = Case(heads=2, queries=down * across, keys=height * width, layout="separate")
    case = replace(case, **changes)
    channels = case.heads * case.value_dim
    args = {**NOTHING, **case.args(), "local_grid": list(grid), "act": act}
    args["bias"] = torch.randn(1, case.heads, case.queries, case.keys)
    args["local"], args["local_bias"] = torch.randn(channels, 3, 3, 1), torch.randn(channels)
    if mixed:
        args["mix1"], args["mix2"] = torch.randn(2, case.heads, case.heads)
    return args


def kernel_of(mixed: bool) -> Kernel:
    return attention_mixed.KERNEL if mixed else attention.KERNEL


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_matches_reference(grid: tuple[int, ...], mixed: bool) -> None:
    check(kernel_of(mixed), CONSTANTS, OPERANDS, **convolved(grid, mixed, "gelu"))


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("change", ["no bias", "hardswish", "merged"])
def test_variants(change: str, mixed: bool) -> None:
    args = convolved(GRIDS["same"], mixed, layout="merged" if change == "merged" else "separate")
    if change == "no bias":
        args["local_bias"] = None
    if change == "hardswish":
        args["act"] = change
    check(kernel_of(mixed), CONSTANTS, OPERANDS, **args)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("act", ["gelu", "hardswish"])
def test_activation_alone(act: str, mixed: bool) -> None:
    args = {**convolved(GRIDS["same"], mixed, act), "local": None, "local_bias": None}
    check(kernel_of(mixed), CONSTANTS, OPERANDS, **args)


@on_every_target
@pytest.mark.parametrize("mixed", [False, True])
def test_on_every_target(mixed: bool, target: Target) -> None:
    check(
        kernel_of(mixed), CONSTANTS, targets=[target], **convolved(GRIDS["strided"], mixed, "gelu")
    )


@pytest.mark.parametrize("mixed", [False, True])
def test_blocks_are_whole_rows(mixed: bool) -> None:
    args, kernel = convolved(GRIDS["same"], mixed), kernel_of(mixed)
    call = op_call("attention", CONSTANTS, **args)
    knobs = kernel.default_knobs(kernel.shape_of(call), HOST)
    assert knobs.task_queries % 5 == 0 and knobs.pixels > 0
    for rows in (5, 10):
        got = run_built(kernel, call, args, HOST, replace(knobs, task_queries=rows), 3)
        assert_close(got, reference("attention", **args).numpy())


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("copied", [False, True])
def test_values_are_read_in_place_or_copied(mixed: bool, copied: bool) -> None:
    args, kernel = convolved(GRIDS["same"], mixed, layout="merged"), kernel_of(mixed)
    call = op_call("attention", CONSTANTS, **args)
    knobs = kernel.default_knobs(kernel.shape_of(call), HOST)
    got = run_built(kernel, call, args, HOST, replace(knobs, copy_values=copied), 3)
    assert_close(got, reference("attention", **args).numpy())


def test_taps_are_packed_by_head() -> None:
    args = convolved(GRIDS["same"])
    call = op_call("attention", CONSTANTS, **args)
    shape = shape_of(call)
    assert isinstance(shape, Shape)
    taps, bias = pack_local(call, shape)
    assert isinstance(taps, np.ndarray) and taps.shape == (2, 3, 3, 12)
    assert taps[1, 2, 0, 5] == args["local"][12 + 5, 2, 0, 0]
    assert np.array_equal(bias, args["local_bias"].numpy())
    assert near_floats(shape, 5) == 5 * 12
    assert near_floats(replace(shape, local=None), 5) == 0


def test_not_a_number_spreads_as_far_as_the_taps() -> None:
    args = convolved(GRIDS["same"])
    args["local"][:, :, 2] = 0
    args["v"][0, 1, 7, 3] = float("inf")
    got = run_built(attention.KERNEL, op_call("attention", CONSTANTS, **args), args)
    np.testing.assert_allclose(got, reference("attention", **args), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["local", "local_bias"])
def test_weights_must_be_constants(name: str) -> None:
    args = convolved(GRIDS["same"])
    known = tuple(other for other in CONSTANTS if other != name)
    assert shape_of(op_call("attention", known, **args)) == f"{name} is not a constant"


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("target", [AVX2, ARM64], ids=lambda t: str(t.name))
def test_taps_are_asked_for_except_on_neon(target: Target, mixed: bool) -> None:
    kernel = kernel_of(mixed)
    shape = kernel.shape_of(op_call("attention", CONSTANTS, **convolved(GRIDS["same"], mixed)))
    built = kernel.build("asks", shape, target, kernel.default_knobs(shape, target))
    assert ("llvm.prefetch" in str(built.func)) == (target == AVX2)
