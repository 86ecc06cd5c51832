from dataclasses import replace

import numpy as np
import pytest
import torch

from efcompile.kernels.attention_mixed import KERNEL
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

CONSTANTS = ("bias", "mix1", "mix2", "mix2_bias")


def mixes(heads: int) -> dict[str, torch.Tensor]:
    return {
        "mix1": torch.randn(heads, heads),
        "mix2": torch.randn(heads, heads),
        "mix2_bias": torch.randn(heads),
    }


@pytest.mark.parametrize(
    "case",
    [
        Case(heads=4, queries=21, keys=21, key_dim=16, value_dim=20),
        Case(heads=3, queries=5, keys=37, key_dim=7, layout="separate"),
        Case(heads=2, queries=19, keys=18, value_dim=17, layout="planar"),
    ],
    ids=lambda c: str(c.layout),
)
def test_matches_reference(case: Case) -> None:
    args = {**case.args(), "bias": None, **mixes(case.heads)}
    args["bias"] = torch.randn(1, case.heads, case.queries, case.keys)
    check(KERNEL, CONSTANTS, OPERANDS, **args)


@pytest.mark.parametrize("present", [("mix1",), ("mix2",), ("mix2_bias",), ("mix1", "mix2")])
def test_any_of_the_mixes(present: tuple[str, ...]) -> None:
    args = {**NOTHING, **Case().args()}
    args.update({name: value for name, value in mixes(2).items() if name in present})
    check(KERNEL, CONSTANTS, **args)


@pytest.mark.parametrize("mix", ["mix1", "mix2"])
def test_bias_at_run_time(mix: str) -> None:
    args = {**NOTHING, **Case().args(), mix: torch.randn(2, 2)}
    args["bias"] = torch.randn(2, 1, 13, 13)
    check(KERNEL, (mix,), **args)


def test_any_block_of_queries() -> None:
    args = {**Case().args(), "bias": torch.randn(1, 2, 13, 13), **mixes(2)}
    call = op_call("attention", CONSTANTS, **args)
    knobs = replace(KERNEL.default_knobs(KERNEL.shape_of(call), HOST), task_queries=5)
    for pieces in (1, 4):
        got = run_built(KERNEL, call, args, HOST, knobs, pieces)
        assert_close(got, reference("attention", **args).numpy())


@on_every_target
def test_special_values_are_eager_s(target: Target) -> None:
    args = {**Case(layout="separate").args(), "bias": torch.zeros(1, 2, 13, 13), **mixes(2)}
    args["mix2"] = torch.eye(2)
    args["bias"][0, 0, 2, ::2] = -float("inf")
    args["q"][0, 1, 4, 2] = float("nan")
    args["q"][1, 1, 6, 2] = 1e30
    got = run_built(KERNEL, op_call("attention", CONSTANTS, **args), args, target)
    wanted = reference("attention", **args).numpy()
    assert np.isnan(wanted).any()
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("constants", "change", "why"),
    [((), {}, "no heads"), ((), {"mix2": torch.eye(2)}, "mix2 is not a constant")],
)
def test_refusals(constants: tuple[str, ...], change: dict[str, torch.Tensor], why: str) -> None:
    args = {**NOTHING, **Case().args(), **change}
    reason = KERNEL.shape_of(op_call("attention", constants, **args))
    assert isinstance(reason, str) and why in reason
