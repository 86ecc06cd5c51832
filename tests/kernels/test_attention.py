from dataclasses import replace

import numpy as np
import pytest
import torch

from efcompile.kernels.attention import KERNEL
from efcompile.targets.target import Target
from tests.kernels.attention_cases import NOTHING, OPERANDS, Case
from tests.kernels.harness import (
    HOST,
    assert_close,
    check,
    on_every_target,
    op_call,
    reference,
    run_built,
)

CASES = [
    Case(batch=1, heads=3, queries=49, keys=49, key_dim=16, value_dim=40),
    Case(queries=5, keys=37, key_dim=7, layout="separate"),
    Case(queries=19, keys=18, key_dim=20, value_dim=17, layout="planar"),
    Case(queries=1, keys=1, key_dim=1, value_dim=1, layout="separate"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: str(c.layout))
def test_matches_reference(case: Case) -> None:
    args = {**NOTHING, **case.args()}
    if case.queries > 1:
        args["bias"] = torch.randn(1, case.heads, case.queries, case.keys)
    check(KERNEL, ("bias",), OPERANDS, **args)


@pytest.mark.parametrize("shape", [(2, 1, 1, 21), (1, 2, 10, 1)])
@pytest.mark.parametrize("constant", [True, False])
def test_bias_broadcasts(shape: tuple[int, ...], constant: bool) -> None:
    case = Case(queries=10, keys=21, layout="separate")
    args = {**NOTHING, **case.args(), "bias": torch.randn(shape)}
    check(KERNEL, ("bias",) if constant else (), **args)


@pytest.mark.parametrize("task_queries", [1, 5])
def test_any_block_of_queries(task_queries: int) -> None:
    args = {**NOTHING, **Case().args(), "bias": torch.randn(1, 2, 13, 13)}
    call = op_call("attention", ("bias",), **args)
    knobs = KERNEL.default_knobs(KERNEL.shape_of(call), HOST)
    knobs = replace(knobs, task_queries=task_queries)
    for pieces in (1, 4):
        got = run_built(KERNEL, call, args, HOST, knobs, pieces)
        assert_close(got, reference("attention", **args).numpy())


@on_every_target
def test_special_values_are_eager_s(target: Target) -> None:
    args = {**NOTHING, **Case(layout="separate").args(), "bias": torch.zeros(1, 2, 13, 13)}
    args["bias"][0, 0, 2, ::2] = -float("inf")
    args["bias"][0, 0, 3] = -float("inf")
    args["q"][0, 1, 4, 2] = float("nan")
    args["q"][0, 1, 5, 2] = float("inf")
    args["q"][1, 1, 6, 2] = 1e30
    args["v"][1, 0, 7, 3] = float("inf")
    got = run_built(KERNEL, op_call("attention", ("bias",), **args), args, target)
    wanted = reference("attention", **args).numpy()
    assert np.isnan(wanted).any()
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"mix1": torch.eye(2)}, "mixed"),
        ({"bias": torch.zeros(13, 13)}, "4"),
    ],
)
def test_refusals(change: dict[str, torch.Tensor], why: str) -> None:
    args = {**NOTHING, **Case().args(), **change}
    reason = KERNEL.shape_of(op_call("attention", tuple(change), **args))
    assert isinstance(reason, str) and why in reason


def test_refuses_other_dtypes() -> None:
    args = {**NOTHING, **Case().args()}
    args.update({name: args[name].double() for name in "qkv"})
    reason = KERNEL.shape_of(op_call("attention", **args))
    assert isinstance(reason, str) and "float64" in reason
