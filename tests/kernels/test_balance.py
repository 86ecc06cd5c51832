from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from efcompile.kernels.balance import even_size

sizes = st.integers(1, 60)


def _busiest(total: int, size: int, cores: int, times: int) -> int:
    tasks = ceil(total / size) * times
    return ceil(tasks / cores) * size


def test_fourteen_pieces_on_two_cores() -> None:
    assert even_size(14, 2, 2) == 1
    assert even_size(14, 14, 2) == 7


@given(sizes, sizes, st.integers(1, 8), st.integers(1, 5))
def test_no_other_size_serves_the_busiest_core_better(
    total: int, most: int, cores: int, times: int
) -> None:
    size = even_size(total, most, cores, times)
    assert 1 <= size <= max(1, min(most, total))
    best = min(_busiest(total, s, cores, times) for s in range(1, min(most, total) + 1))
    assert _busiest(total, size, cores, times) == best
