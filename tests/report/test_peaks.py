import platform
from dataclasses import replace

import pytest

from efcompile.report.peaks import beyond_caches, copy_peak, fewer, fma_peak
from efcompile.targets.resolve import resolve


def test_the_fma_peak_is_that_of_a_vector_unit() -> None:
    # A scalar unit does at most four operations a cycle: 24 GFLOP/s at 6 GHz.
    assert 24 < fma_peak(repeats=3) < 2000


def test_memory_copies_slower_than_cache() -> None:
    cache, memory = copy_peak(0.125, repeats=5), copy_peak(repeats=3)
    assert 0.5 < memory < cache < 5000


@pytest.mark.parametrize(("llc", "size"), [(1 << 20, 256 << 20), (480 << 20, 480 << 20)])
def test_memory_is_what_no_cache_holds_twice(llc: int, size: int) -> None:
    assert beyond_caches(replace(resolve("host"), llc_bytes=llc)) == size


@pytest.mark.parametrize(("size", "repeats"), [(4096, 15), (256 << 20, 15), (1 << 30, 3)])
def test_large_arrays_are_gone_over_less_often(size: int, repeats: int) -> None:
    assert fewer(15, size) == repeats


@pytest.mark.skipif(platform.machine() != "x86_64", reason="levels of x86-64")
def test_the_fma_peak_is_that_of_the_target() -> None:
    narrow, host = resolve("host", cpu="x86-64-v3"), resolve("host")
    ratio = fma_peak(host) / fma_peak(narrow)
    # Some cores do 512-bit vectors in halves, as fast as 256-bit ones.
    assert 0.8 < ratio < 1.25 * host.lanes / narrow.lanes
    assert fma_peak(repeats=3) / fma_peak(host) == pytest.approx(1, rel=0.25)
