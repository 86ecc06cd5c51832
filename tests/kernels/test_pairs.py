import ctypes
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from efcompile.kernels import conv_direct, ffn, gemm, mlp, norm_linear, separable
from efcompile.kernels.emit import Emitter, View
from efcompile.kernels.kernel import Kernel, OpCall
from efcompile.kernels.pairs import GROUP, pack_product, result_rms, store_left_sums
from efcompile.kernels.register_tile import Tile, choose_tile, in_registers
from efcompile.kernels.segment import Segment
from efcompile.kernels.span import Span
from efcompile.kernels.tile import gemm as emit_gemm
from efcompile.kernels.tile import store_epilogue
from efcompile.tvm_api import build_object
from tests.kernels.harness import (
    HOST,
    PAIRS,
    _function,
    assert_close,
    op_call,
    reference,
    run_built,
)

TILE = Tile(3, 2, HOST.lanes, 4, lane_a=False, pairs=True)


def one_of(array: np.ndarray) -> np.ndarray:
    """[rows, K] -> the products of its pairs."""
    whole = array.shape[1] // GROUP * GROUP
    groups = array[:, :whole].reshape(len(array), -1, GROUP)
    return np.asarray((groups[..., 0] * groups[..., 1]).sum(1))


@given(
    k=st.integers(1, 40),
    n=st.integers(1, 40),
    seed=st.integers(0, 9),
    exponent=st.integers(-20, 20),
)
def test_constants_undo_what_columns_add(k: int, n: int, seed: int, exponent: int) -> None:
    """The identity, in numpy: sums of pairs, less those of either side, are the product."""
    rng = np.random.default_rng(seed)
    weight, bias = rng.standard_normal((n, k)).astype(np.float32), rng.standard_normal(n)
    a = rng.standard_normal((5, k)) * 2.0**exponent
    panels, constants = pack_product(weight, bias.astype(np.float32), TILE, 2.0**exponent)
    starts = range(0, n, TILE.panel)
    b = np.concatenate(
        [panels[c * k : (c + min(TILE.panel, n - c)) * k].reshape(k, -1).T for c in starts]
    ).astype(np.float64)
    power = 1 / constants[n]
    assert power == 2.0 ** round(np.log2(power)) and np.array_equal(b, weight * np.float64(power))
    assert 0.5 < np.sqrt((b**2).mean()) / 2.0**exponent < 2
    sums = a @ b.T + one_of(a)[:, None] + one_of(b)
    got = (sums + constants[:n]) * constants[n] - one_of(a)[:, None] * constants[n]
    assert_close(got, a @ weight.T + bias, 1e-4)


@pytest.mark.parametrize("weight", [0.0, 1e-38, 1e-20, 1e30])
@pytest.mark.parametrize("rms", [0.0, 1e-30, None, 1e10])
def test_any_size_has_a_power(weight: float, rms: float | None) -> None:
    packed = pack_product(np.full((3, 8), weight, np.float32), None, TILE, rms)
    assert all(np.isfinite(array).all() for array in packed) and packed[1][3] > 0


def test_without_pairs_nothing_is_added() -> None:
    weight = np.ones((3, 8), np.float32)
    assert len(pack_product(weight, None, replace(TILE, pairs=False), None)) == 1


def test_a_result_is_about_as_large_as_estimated() -> None:
    torch.manual_seed(0)
    x, weight, bias = 3 * torch.randn(500, 64), torch.randn(96, 64), torch.randn(96)
    actual = torch.nn.functional.linear(x, weight, bias).square().mean().sqrt()
    assert result_rms(weight.numpy(), bias.numpy(), 3.0) == pytest.approx(float(actual), rel=0.1)


@settings(max_examples=15, deadline=None)
@given(
    m=st.integers(1, 30),
    n=st.integers(1, 70),
    first=st.integers(1, 21),
    second=st.integers(1, 9),
    unroll=st.sampled_from([4, 8]),
    staged=st.booleans(),
)
def test_any_runs_of_k(m: int, n: int, first: int, second: int, unroll: int, staged: bool) -> None:
    """A row is `first` elements of one matrix, then two runs of `second`, 16 apart, of another:
    groups begin with every run."""
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((m, size)).astype(np.float32) for size in (first, 32))
    runs = [left, right[:, :second], right[:, 16 : 16 + second]]
    weights = [rng.standard_normal((n, run.shape[1])).astype(np.float32) for run in runs]
    bias = rng.standard_normal(n).astype(np.float32)
    tile = replace(choose_tile(m, n, PAIRS, pairs=True), unroll=unroll)
    plain = replace(tile, pairs=False)
    panels = pack_product(np.concatenate(weights, 1), None, plain, None)[0]
    # Groups of a row as a whole are others: these constants are not `pack_product`'s.
    constants = np.append(bias - sum(one_of(weight) for weight in weights), 1).astype(np.float32)
    e = Emitter()
    a, b, w, c, sums, out, stage = (e.pointer(name) for name in "abwcsot")
    segments = [Segment(a, first, first), Segment(b, 32, second, ((2, 16),))]
    rows = Span.whole(m, tile.rows)
    store_left_sums(e, tile, n, m, rows, segments, c, sums)
    emit_gemm(
        e, tile, n, m, rows, Span.whole(n, tile.panel), segments, w, c,
        store_epilogue(out, n, "gelu" if staged else "none", None),
        stage if staged else None, left_sums=sums,
    )  # fmt: skip
    function = _function(build_object([e.finish("kernel_under_test")], PAIRS))
    got, scratch = np.full((m, n), np.nan, np.float32), np.empty(tile.rows * tile.panel, np.float32)
    left_sums = np.full(m, np.nan, np.float32)
    arrays = (left, right, panels, constants, left_sums, got, scratch)
    function(*(ctypes.c_void_p(array.ctypes.data) for array in arrays))
    assert_close(left_sums, sum((one_of(run) for run in runs), np.zeros(m)))
    wanted = torch.from_numpy(np.concatenate(runs, 1) @ np.concatenate(weights, 1).T + bias)
    assert_close(got, (torch.nn.functional.gelu(wanted) if staged else wanted).numpy())


def calls(scale: float = 1.0) -> dict[str, tuple[Kernel, OpCall, dict[str, Any]]]:
    """A call of each kernel that multiplies pairs, activations `scale` times as large as usual,
    which is measured."""
    torch.manual_seed(0)

    def made(kernel: Kernel, constants: tuple[str, ...], **args: Any) -> Any:
        args["x"] = args["x"] * scale
        call = op_call(kernel.op, constants, **args)
        call.args["x"] = replace(call.args["x"], rms=scale)
        return kernel, call, args

    weight, bias = torch.randn(72, 36) / 6, torch.randn(72) * scale
    back, more = torch.randn(36, 72) / 8, torch.randn(36) * scale
    image, taps = torch.randn(2, 28, 28, 36), torch.randn(72, 3, 3, 1) / 3
    return {
        "gemm": made(
            gemm.KERNEL, ("weight", "bias"), x=torch.randn(2, 33, 36), weight=weight, bias=bias,
            residual=torch.randn(2, 33, 72), act="relu",
        ),
        "norm_linear": made(
            norm_linear.KERNEL, ("weight", "bias"), x=torch.randn(2, 33, 36), weight=weight,
            bias=bias, eps=1e-5, act="none",
        ),
        "mlp": made(
            mlp.KERNEL, ("weight1", "bias1", "weight2", "bias2"), x=torch.randn(2, 33, 36),
            weight1=weight, bias1=bias, weight2=back, bias2=more,
            residual=torch.randn(2, 33, 36), act="gelu",
        ),
        "ffn": made(
            ffn.KERNEL, ("weight1", "bias1", "depthwise", "depthwise_bias", "weight2", "bias2"),
            x=image, weight1=torch.randn(320, 36) / 6, bias1=torch.randn(320) * scale,
            depthwise=torch.randn(320, 3, 3, 1) / 3, depthwise_bias=torch.randn(320) * scale,
            weight2=torch.randn(36, 320) / 18, bias2=more, residual=image,
            stride=[1, 1], padding=[1, 1], act1="gelu", act2="gelu",
        ),
        "conv_direct": made(
            conv_direct.KERNEL, ("weight", "bias"), x=torch.randn(2, 28, 28, 12),
            weight=torch.randn(40, 3, 3, 12) / 10, bias=torch.randn(40) * scale, residual=None,
            stride=[2, 2], padding=[1, 1], dilation=[1, 1], groups=1, act="relu",
        ),
        "separable": made(
            separable.KERNEL, ("depthwise", "weight"), x=torch.randn(2, 15, 15, 72),
            depthwise=taps, depthwise_bias=None, weight=back, bias=None, residual=None,
            stride=[2, 2], padding=[1, 1], dilation=[1, 1], act1="relu", act2="none",
        ),
    }  # fmt: skip


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("name", sorted(calls()))
def test_kernels_are_as_exact_as_without(name: str, scale: float) -> None:
    kernel, call, args = calls(scale)[name]
    shape = kernel.shape_of(call)
    knobs = kernel.default_knobs(shape, PAIRS)
    assert "pairs=True" in repr(knobs) and "pairs=True" not in repr(
        kernel.default_knobs(shape, HOST)
    )
    assert kernel.legal(shape, PAIRS, knobs) and not kernel.legal(shape, HOST, knobs)
    wanted = reference(call.op, **args).numpy()
    for pieces in (1, 3):
        assert_close(run_built(kernel, call, args, PAIRS, pieces=pieces), wanted, 2e-6)


def test_what_is_not_finite_stays_in_its_row() -> None:
    kernel, call, args = calls()["gemm"]
    args["x"][1, 5] = torch.nan
    out = run_built(kernel, call, args, PAIRS)
    assert np.isnan(out[1, 5]).all() and np.isnan(out).sum() == 72


def test_a_tile_of_pairs_leaves_room_for_both_elements() -> None:
    target = replace(PAIRS, vector_bits=512, registers=32)
    assert in_registers(7, 3, target, pairs=True) and not in_registers(8, 3, target, pairs=True)
    assert in_registers(8, 3, target)
    assert choose_tile(196, 480, target, 120, pairs=True).pairs
    assert not choose_tile(196, 480, replace(target, pairs=False), 120, pairs=True).pairs


def test_a_view_is_needed_only_for_pairs() -> None:
    e = Emitter()
    rows = Span.whole(3, 3)
    a: View = e.pointer("a")
    store_left_sums(e, replace(TILE, pairs=False), 8, 3, rows, [Segment(a, 8, 8)], None, None)
    with pytest.raises(AssertionError, match="have both"):
        store_left_sums(e, TILE, 8, 3, rows, [Segment(a, 8, 8)], None, None)
