"""Every kernel's space of knobs: what is legal computes what the op does, and the rest is kept
out."""

from functools import cache
from typing import Any

import pytest
import torch

from efcompile.kernels.kernel import Kernel, OpCall, no_choices
from efcompile.kernels.knobs import flatten, with_values
from efcompile.kernels.registry import KERNELS
from efcompile.targets.target import Target
from tests.kernels.cases import CASES, CONSTANTS, Args
from tests.kernels.emulated import ARM64
from tests.kernels.harness import (
    AVX2,
    HOST,
    PAIRS,
    assert_close,
    on_every_target,
    op_call,
    reference,
    run_built,
)
from tests.kernels.sampled import different_knobs, legal_vectors
from tests.kernels.space_cases import SPACE_CASES

ALL_CASES = {**CASES, **{f"large_{name}": case for name, case in SPACE_CASES.items()}}


@cache
def prepared(name: str) -> tuple[Kernel, Args, OpCall, Any]:
    """Kernel, arguments, call and shape of a case."""
    torch.manual_seed(0)
    kernel, arguments = ALL_CASES[name]
    args = arguments()
    call = op_call(kernel.op, [c for c in CONSTANTS if c in args], **args)
    return kernel, args, call, kernel.shape_of(call)


def test_every_kernel_with_choices_has_a_large_case() -> None:
    tuned = {kernel.name for kernel in KERNELS if kernel.choices is not no_choices}
    assert tuned == {kernel.name for kernel, _ in SPACE_CASES.values()}


@on_every_target
@pytest.mark.parametrize("name", ALL_CASES)
def test_the_default_is_legal_and_choices_are_knobs(name: str, target: Target) -> None:
    kernel, _, _, shape = prepared(name)
    default = kernel.default_knobs(shape, target)
    assert kernel.legal(shape, target, default)
    values = kernel.choices(shape, target)
    assert values.keys() <= flatten(default).keys()
    assert all(len(set(choice)) == len(choice) >= 1 for choice in values.values())


@on_every_target
@pytest.mark.parametrize("name", SPACE_CASES)
def test_what_is_legal_computes_what_the_op_does(name: str, target: Target) -> None:
    kernel, args, call, shape = prepared(f"large_{name}")
    chosen = different_knobs(kernel, shape, target, 2)
    assert chosen
    wanted = reference(kernel.op, **args).numpy()
    for pieces, knobs in enumerate(chosen, 2):
        assert_close(run_built(kernel, call, args, target, knobs, pieces), wanted)


PAIRED = [
    name
    for name, (kernel, _) in SPACE_CASES.items()
    if kernel.name in ("gemm", "norm_linear", "mlp", "ffn", "conv_direct", "separable")
]


@pytest.mark.parametrize("name", PAIRED)
def test_with_pairs_what_is_legal_computes_what_the_op_does(name: str) -> None:
    kernel, args, call, shape = prepared(f"large_{name}")
    default = kernel.default_knobs(shape, PAIRS)
    assert kernel.legal(shape, PAIRS, default)
    wanted = reference(kernel.op, **args).numpy()
    for pieces, knobs in enumerate([default, *different_knobs(kernel, shape, PAIRS, 2)], 1):
        assert_close(run_built(kernel, call, args, PAIRS, knobs, pieces), wanted)
    paths = [path for path in kernel.choices(shape, PAIRS) if path.endswith(".pairs")]
    for path in paths:
        turned = with_values(default, {path: 1 - int(flatten(default)[path])})
        if kernel.legal(shape, PAIRS, turned):
            assert_close(run_built(kernel, call, args, PAIRS, turned), wanted)
        assert not flatten(default)[path] or not kernel.legal(shape, HOST, default)


@pytest.mark.parametrize("name", SPACE_CASES)
def test_what_is_legal_leaves_every_core_its_tasks(name: str) -> None:
    kernel, _, _, shape = prepared(f"large_{name}")
    default = kernel.default_knobs(shape, HOST)
    usual, *others = (
        kernel.build("k", shape, HOST, knobs).tasks
        for knobs in [default, *different_knobs(kernel, shape, HOST, 2)]
    )
    assert min(others) >= min(usual, 2 * HOST.cores)


@on_every_target
@pytest.mark.parametrize("name", SPACE_CASES)
def test_numbers_that_make_no_sense_are_refused(name: str, target: Target) -> None:
    kernel, _, _, shape = prepared(f"large_{name}")
    default = kernel.default_knobs(shape, target)
    for path in flatten(default):
        for value in (-1, 1_000_003):
            knobs = with_values(default, {path: value})
            changes = flatten(knobs)[path] == value  # a boolean does not become that
            assert not (changes and kernel.legal(shape, target, knobs)), f"{path} = {value}"


@pytest.mark.parametrize(
    ("name", "target", "change"),
    [
        # Only NEON's products read rows side by side, of whole vectors, in tiles of one height.
        ("large_gemm", HOST, {"side_by_side": 1}),
        ("large_gemm_odd", ARM64, {"side_by_side": 1}),
        ("large_norm_linear", HOST, {"side_by_side": 1}),
        ("large_mlp", HOST, {"side_by_side": 1}),
        ("large_mlp", ARM64, {"side_by_side": 1, "up.rows": 6, "down.rows": 5}),
        ("mlp", ARM64, {"side_by_side": 1}),
        ("large_ffn", AVX2, {"side_by_side": 1}),
        ("large_ffn", ARM64, {"side_by_side": 1, "up.rows": 6, "down.rows": 6, "pixels": 6}),
        ("large_ffn", ARM64, {"side_by_side": 1, "pixels": 5}),
        ("ffn", ARM64, {"side_by_side": 1}),
        # With all panels in a task either order is the same.
        ("large_conv_direct", HOST, {"weights_stay": 1}),
        # Blocks of queries are whole rows of the image that is convolved.
        ("large_attention_local", HOST, {"task_queries": 7}),
        ("large_attention", HOST, {"pixels": 2}),
        # More rows, steps or panels than there are.
        ("large_mlp", HOST, {"rows": 103}),
        ("large_ffn", HOST, {"rows": 9}),
        ("large_conv_direct", HOST, {"task_rows": 10}),
        ("large_pool_linear", HOST, {"task_panels": 100}),
        # Too few tasks: one where the default has some for each core.
        ("large_mlp", HOST, {"rows": 102}),
    ],
)
def test_what_build_gets_wrong_or_is_idle_is_refused(
    name: str, target: Target, change: dict[str, int]
) -> None:
    kernel, _, _, shape = prepared(name)
    default = kernel.default_knobs(shape, target)
    assert not kernel.legal(shape, target, with_values(default, change))


@on_every_target
@pytest.mark.parametrize("name", ["gemm", "mlp", "ffn", "conv_direct", "attention", "norm_linear"])
def test_heavy_kernels_have_some_tens_of_candidates(name: str, target: Target) -> None:
    kernel, _, _, shape = prepared(f"large_{name}")
    assert len(legal_vectors(kernel, shape, target)) >= (10 if target == AVX2 else 30)
