import pytest

from benchmarks.prepared import TimedCall
from efcompile.kernels.work import Work
from efcompile.report.roofline import bound
from tests.benchmarks.examples import MACHINE, call


@pytest.mark.parametrize(
    ("timed", "resident", "ns", "unit"),
    [
        (call(Work(matmul=300, multiply=100)), 0, 4.0, "fma"),
        (call(Work(multiply=100, add=100)), 0, 2.0, "add"),
        (call(Work(loads=80, stores=20)), 0, 2.0, "load"),
        (call(Work(loads=80, stores=60)), 0, 3.0, "store"),
        (call(Work(), activations=1000), 0, 100.0, "L2"),
        (call(Work(), activations=1001), 0, 200.2, "L3"),
        (call(Work(), weights=500), 1000, 25.0, "L2"),
        (call(Work(), weights=500), 50_000, 50.0, "L3"),
        (call(Work(), weights=500), 200_000, 250.0, "memory"),
    ],
)
def test_the_slowest_need_binds(timed: TimedCall, resident: int, ns: float, unit: str) -> None:
    least = bound(timed, MACHINE, resident)
    assert least.ns == pytest.approx(ns)
    assert least.unit == unit


@pytest.mark.parametrize(
    ("work", "gemm"),
    [
        (Work(matmul=91, multiply=9), True),
        (Work(matmul=89, multiply=11), False),
        (Work(matmul=100, add=52), True),
        (Work(matmul=100, add=60), False),
        (Work(multiply=100), False),
    ],
)
def test_gemm_bound_means_that_products_take_most_of_the_bound(work: Work, gemm: bool) -> None:
    assert bound(call(work), MACHINE, 0).gemm is gemm


def test_a_product_that_waits_for_its_weights_is_not_gemm_bound() -> None:
    least = bound(call(Work(matmul=1000), weights=1000), MACHINE, 1 << 30)
    assert (least.unit, least.gemm) == ("memory", False)
