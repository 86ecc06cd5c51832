from dataclasses import replace

from efcompile.kernels.store_ahead import outgrows
from efcompile.targets.resolve import resolve


def test_results_of_more_than_two_caches_are_asked_for_on_x86() -> None:
    x86, arm = (replace(resolve(name), l2_bytes=1 << 20) for name in ("host", "arm64"))
    assert [outgrows(floats, x86) for floats in (1 << 19, (1 << 19) + 1)] == [False, True]
    assert not outgrows(1 << 30, arm)
