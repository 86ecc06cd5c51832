"""The product in seven, on its own; `test_mlp` has it inside a kernel."""

from dataclasses import replace

import numpy as np
import pytest

from efcompile.kernels.emit import Emitter
from efcompile.kernels.kernel import Array, Built
from efcompile.kernels.register_tile import Tile, choose_tile
from efcompile.kernels.span import share
from efcompile.kernels.strassen import (
    Factors,
    cycles,
    factors_floats,
    filled,
    multiply,
    pack_factors,
    plain_cycles,
    row_blocks,
    split,
    store_quarters,
    sums_floats,
)
from efcompile.targets.target import Target
from efcompile.tvm_api import build_object
from tests.kernels.harness import HOST, TARGETS, run_code


def build(m: int, n: int, k: int, tile: Tile) -> Built:
    """``relu(x @ weight + bias) + residual``."""
    e = Emitter()
    x, weight, bias, residual, out, scratch = (
        e.pointer(name) for name in ("x", "weight", "bias", "residual", "out", "scratch")
    )
    e.integer("begin")
    e.integer("end")
    factors = Factors(scratch, m, k)
    split(e, x, factors, tile.lanes)
    sums = scratch.at(factors_floats(m, k))
    sink = store_quarters(m, n, out, bias, "relu", residual)
    multiply(e, tile, n, factors, weight, sums, sink, prefetch=True)
    floats = factors_floats(m, k) + sums_floats(m, tile)
    return Built(e.finish("kernel_under_test"), 4 * floats, 1)


def run(x: Array, weight: Array, bias: Array, residual: Array, target: Target) -> Array:
    (m, k), n = x.shape, weight.shape[0]
    tile = choose_tile(-(-m // 2), n // 2, target, k // 2)
    built = build(m, n, k, tile)
    out = np.full((m, n), np.nan, np.float32)
    arrays = [x, pack_factors(weight, tile), bias, residual]
    run_code(build_object([built.func], target), arrays, out, built.scratch_bytes, 1, target)
    return out


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: str(t.name))
@pytest.mark.parametrize("size", [(48, 64, 64), (49, 70, 30), (3, 2, 2), (57, 202, 106)])
def test_is_the_product(size: tuple[int, int, int], target: Target) -> None:
    m, n, k = size
    rng = np.random.default_rng(0)
    x, weight, bias, residual = (
        rng.standard_normal(shape).astype(np.float32) for shape in ((m, k), (n, k), n, (m, n))
    )
    wanted = np.maximum(x.astype(np.float64) @ weight.T.astype(np.float64) + bias, 0) + residual
    assert (
        np.abs(run(x, weight, bias, residual, target) - wanted).max() < 3e-6 * np.abs(wanted).max()
    )


@pytest.mark.parametrize(("columns", "wide"), [(32, 32), (28, 32), (24, 24), (20, 20), (17, 17)])
def test_it_takes_seven_quarters(columns: int, wide: int) -> None:
    """Of columns filled up where that spares vectors: 16 + 8 + 4 would be three of two."""
    weight = np.ones((2 * columns, 4), np.float32)
    tile = Tile(rows=4, vectors=1, lanes=16, unroll=4, lane_a=False)
    assert pack_factors(weight, tile).size == 7 * wide * 2
    assert filled(columns, 16) == wide


def test_what_is_not_finite_stays_in_its_pair_of_rows() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((10, 32)).astype(np.float32)
    x[7, 3] = np.nan
    weight, bias = rng.standard_normal((32, 32)).astype(np.float32), np.zeros(32, np.float32)
    out = run(x, weight, bias, np.zeros((10, 32), np.float32), HOST)
    assert np.isnan(out[7]).all()
    assert np.isfinite(np.delete(out, (2, 7), axis=0)).all()


def test_estimates_prefer_it_for_large_products_only() -> None:
    target = replace(HOST, l1_bytes=48 << 10, l2_bytes=1 << 20)

    def ratio(m: int, n: int, k: int) -> float:
        whole = choose_tile(m, n, target, k)
        quarter = choose_tile(m // 2, n // 2, target, k // 2)
        return cycles(m, n, k, quarter, target) / plain_cycles(m, n, k, whole, target)

    assert 7 / 8 < ratio(196, 512, 512) < 0.93 < ratio(196, 64, 64)
    assert ratio(196, 32, 32) > 1


def test_blocks_divide_the_rows_of_an_image() -> None:
    assert row_blocks(196, 1, 96, 64) == (49, 98, 196)
    assert row_blocks(196, 2, 96, 64) == (49, 98)
    assert row_blocks(196, 5, 96, 64) == ()
    assert row_blocks(196, 1, 96, 65) == ()


def test_panels_share_a_product_and_rows_are_finished_first() -> None:
    """Two tasks for the panels of a quarter, of twice the rows."""
    m, n, k = 51, 152, 34
    rng = np.random.default_rng(0)
    x, weight = (rng.standard_normal(size).astype(np.float32) for size in ((m, k), (n, k)))
    for target in TARGETS:
        tile = replace(choose_tile(26, n // 2, target, k // 2), rows=5, vectors=1)
        panels = n // 2 // tile.panel
        e = Emitter()
        source, packed, out, scratch = (e.pointer(name) for name in ("x", "w", "out", "scratch"))
        begin, end = e.integer("begin"), e.integer("end")
        factors = Factors(scratch, m, k)
        sums = scratch.at(factors_floats(m, k))
        with e.loop(end - begin, "task", begin) as task:
            split(e, source, factors, tile.lanes, lambda e, row: lambda value, lanes: value + value)
            sink = store_quarters(m, n, out, None, "none", None)
            some = share(e, task, 2, panels // 2, panels)
            multiply(e, tile, n, factors, packed, sums, sink, False, some)
        code = build_object([e.finish("kernel_under_test")], target)
        y = np.full((m, n), np.nan, np.float32)
        floats = factors_floats(m, k) + sums_floats(m, tile)
        run_code(code, [x, pack_factors(weight, tile)], y, 4 * floats, 2, target, 2)
        wanted = 2 * x.astype(np.float64) @ weight.T
        assert np.abs(y - wanted).max() < 3e-6 * np.abs(wanted).max()
