"""Error bounds over dense sweeps, and special values as eager, for this machine and for arm64."""

import numpy as np
import pytest
import torch

from efcompile.kernels.activations import CHEAP, VECTOR
from efcompile.kernels.emit import Emitter
from efcompile.kernels.kernel import Array
from efcompile.kernels.reference import SCALAR
from efcompile.kernels.register_tile import vector_widths
from efcompile.ops.activation import ACTIVATIONS
from efcompile.targets.target import Target
from efcompile.tvm_api import build_object
from tests.kernels.harness import TARGETS, on_every_target, run_code

BLOCK = 31
"""Elements per iteration: every vector width down to one."""


def run(act: str, x: Array, target: Target) -> Array:
    """`act` over `x` (float32, length a multiple of BLOCK) through an elementwise kernel."""
    e = Emitter()
    source, out, _scratch = e.pointer("x"), e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    with e.loop(end - begin, "block", begin) as block:
        start = 0
        for lanes in vector_widths(BLOCK, target.lanes):
            value = e.let(e.load(source, block * BLOCK + start, lanes))
            e.store(out, block * BLOCK + start, VECTOR[act](e, value, lanes), lanes)
            start += lanes
    result = np.full_like(x, np.nan)
    code = build_object([e.finish("kernel_under_test")], target)
    run_code(code, [x], result, 0, len(x) // BLOCK, target)
    return result


def sweep(low: float, high: float) -> Array:
    """A dense linear sweep and a logarithmic one of both signs, clipped to [low, high]."""
    linear = np.linspace(low, high, 400_000)
    scale = np.logspace(-30, np.log10(max(-low, high)), 50_000)
    x = np.concatenate([linear, scale, -scale]).clip(low, high).astype(np.float32)
    return x[: len(x) // BLOCK * BLOCK]


def exact(act: str, x: Array) -> Array:
    """The reference in float64."""
    value = torch.from_numpy(x.astype(np.float64))
    result: Array = ACTIVATIONS[act](value).numpy()
    return result


ABSOLUTE = {
    "none": 0.0,
    "relu": 0.0,
    "relu6": 0.0,
    "hardsigmoid": 1.2e-7,
    "gelu": 1.8e-6,
    "gelu_tanh": 1e-6,
}
RELATIVE = {"sigmoid": 4e-7, "silu": 4e-7, "tanh": 5e-7, "exp": 3e-7, "hardswish": 2.4e-7}
RANGE = {"sigmoid": (-87, 87), "silu": (-87, 100), "exp": (-87, 88.7)}
"""Where the relative bounds hold; [-30, 30] otherwise."""


def test_every_activation_has_code_and_a_bound() -> None:
    assert set(VECTOR) == set(ACTIVATIONS) == set(SCALAR) == set(ABSOLUTE) | set(RELATIVE)
    assert set(VECTOR) > CHEAP


@on_every_target
@pytest.mark.parametrize("act", sorted(ABSOLUTE))
def test_absolute_bound(act: str, target: Target) -> None:
    x = sweep(-30, 30)
    # Beyond a few units results grow with x and are as fine as float32 is there.
    bound = np.maximum(ABSOLUTE[act], np.abs(x) * 1.3e-7 if ABSOLUTE[act] else 0)
    assert (np.abs(run(act, x, target) - exact(act, x)) <= bound).all()


@on_every_target
@pytest.mark.parametrize("act", sorted(RELATIVE))
def test_relative_bound(act: str, target: Target) -> None:
    x = sweep(*RANGE.get(act, (-30, 30)))
    wanted = exact(act, x)
    scale = np.abs(x) if act == "hardswish" else np.abs(wanted)
    error = np.abs(run(act, x, target) - wanted)
    assert (error <= np.maximum(RELATIVE[act] * scale, 1e-44)).all()


SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 3e38, -3e38, 1e20, -1e20, 1e4, -1e4, 100.0, -100.0]
TINY = [1e-45, -1e-45, 1e-40, -1e-40, 1.2e-38, -1.2e-38, -103.0, 89.0, -88.1, 88.5]


@on_every_target
@pytest.mark.parametrize("act", sorted(VECTOR))
def test_special_values_are_eager_s(act: str, target: Target) -> None:
    values = np.resize(np.array(SPECIAL + TINY, np.float32), BLOCK * 23)
    got = run(act, values, target)
    # One at a time: eager's AVX-512 gelu gives NaN at infinity, its scalar code the limit.
    single = [ACTIVATIONS[act](torch.tensor([v], dtype=torch.float32)) for v in SPECIAL + TINY]
    wanted = np.resize(torch.cat(single).numpy(), values.shape)
    if act == "gelu" and target.lanes == 16:  # whole vectors give the limit there
        lowest = np.isneginf(values)
        assert (np.isnan(got) | (got == 0))[lowest].all()
        got, wanted = got[~lowest], wanted[~lowest]
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
    infinite = np.isinf(wanted)
    np.testing.assert_array_equal(got[infinite], wanted[infinite])
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("act", sorted(set(VECTOR) - {"none"}))
def test_no_library_calls(act: str) -> None:
    e = Emitter()
    source, out = e.pointer("x"), e.pointer("out")
    lanes = TARGETS[0].lanes
    e.store(out, 0, VECTOR[act](e, e.let(e.load(source, 0, lanes)), lanes), lanes)
    code = build_object([e.finish("kernel_under_test")], TARGETS[0])
    assert not any(name in code for name in (b"expf", b"erff", b"tanhf", b"powf", b"floorf"))
