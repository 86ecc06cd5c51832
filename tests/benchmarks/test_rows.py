from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.prepared import Prepared, TimedCall
from benchmarks.rows import Row, Times, failures, rows_of
from efcompile.bundle.load import Bundle
from efcompile.kernels.work import Work
from tests.benchmarks.examples import MACHINE, call
from tests.bundle.programs import tiny_program

GEMM = replace(call(Work(matmul=10_000), flops=20_000, activations=100), symbol="gemm_0")
POOL = replace(call(Work(add=1000), flops=1000, activations=100), symbol="pool_0", kernel="pool")


def _rows(calls: tuple[TimedCall, ...], network: list[list[int]]) -> list[Row]:
    times = np.array(network, np.int64)
    prepared = Prepared("net", no_bundle(), calls, 0)
    return rows_of(prepared, Times(times, times // 2, times.sum(axis=1)), MACHINE)


def no_bundle() -> Bundle:
    return Bundle(Path(tiny_program().name), None)  # type: ignore[arg-type]


def test_calls_of_a_kernel_share_a_row_and_rows_go_by_time() -> None:
    rows = _rows((POOL, GEMM, GEMM), [[40, 100, 200], [40, 120, 220], [999, 110, 210]])
    assert [(row.symbol, row.calls) for row in rows] == [("gemm_0", 2), ("pool_0", 1)]
    gemm, pool = rows
    assert [gemm.us, gemm.us_hot] == pytest.approx([0.16, 0.08])
    assert pool.us == pytest.approx(0.04)  # the median: 999 was an interruption
    assert gemm.time_share == pytest.approx(320 / 360)
    assert [row.cumulative for row in rows] == pytest.approx([320 / 360, 1.0])
    assert gemm.gflops == pytest.approx(125.0)
    assert gemm.fma_share == pytest.approx(0.625)
    assert gemm.bound_share == pytest.approx(100 / 160)
    assert gemm.gbs == pytest.approx(100 / 160)
    assert gemm.copy_share == pytest.approx(100 / 160 / 10)
    assert pool.bound_unit == "add"
    assert pool.bound_share == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("timed", "ns", "short"),
    [(GEMM, 117, False), (GEMM, 119, True), (POOL, 28, False), (POOL, 29, True)],
)
def test_products_are_held_to_the_peak_and_the_rest_to_its_bound(
    timed: TimedCall, ns: int, short: bool
) -> None:
    (row,) = _rows((timed,), [[ns]])
    assert row.short is short


def test_five_small_kernels_may_fall_short() -> None:
    slow = [replace(POOL, symbol=f"pool_{i}") for i in range(6)]
    good = _rows((GEMM, *slow[:5]), [[100] + [1000] * 5])
    assert len([row for row in good if row.short]) == 5
    assert len(failures(good)) == 5  # each has far more than 3 % of the time
    long = replace(GEMM, work=Work(matmul=10_000_000), flops=20_000_000)
    rows = _rows((long, *slow[:5]), [[100_000] + [100] * 5])
    assert failures(rows) == []
    more = _rows((long, *slow), [[100_000] + [100] * 6])
    assert failures(more) == ["6 kernels fall short, 5 may"]
