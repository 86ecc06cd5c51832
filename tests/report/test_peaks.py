from efcompile.report.peaks import copy_peak, fma_peak


def test_the_fma_peak_is_that_of_a_vector_unit() -> None:
    # A scalar unit does at most four operations a cycle: 24 GFLOP/s at 6 GHz.
    assert 24 < fma_peak(repeats=3) < 2000


def test_memory_copies_slower_than_cache() -> None:
    cache, memory = copy_peak(0.125, repeats=5), copy_peak(repeats=3)
    assert 0.5 < memory < cache < 5000
