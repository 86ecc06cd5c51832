import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efcompile.lowering.memory import plan
from efcompile.lowering.program import ALIGNMENT

Case = tuple[dict[str, int], dict[str, tuple[int, int]]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Up to 14 buffers of up to 40 alignments, alive for up to 6 of 12 calls."""
    sizes, intervals = {}, {}
    for index in range(draw(st.integers(1, 14))):
        first = draw(st.integers(0, 11))
        sizes[f"b{index}"] = draw(st.integers(1, 40 * ALIGNMENT))
        intervals[f"b{index}"] = (first, first + draw(st.integers(0, 5)))
    return sizes, intervals


def lower_bound(sizes: dict[str, int], intervals: dict[str, tuple[int, int]]) -> int:
    rounded = {name: -(-size // ALIGNMENT) * ALIGNMENT for name, size in sizes.items()}
    last = max(end for _, end in intervals.values())
    return max(
        sum(size for name, size in rounded.items() if intervals[name][0] <= t <= intervals[name][1])
        for t in range(last + 1)
    )


@settings(max_examples=150, deadline=None)
@given(cases())
def test_live_buffers_never_overlap_and_the_peak_is_small(case: Case) -> None:
    sizes, intervals = case
    offsets, total = plan(sizes, intervals)
    assert all(offset % ALIGNMENT == 0 for offset in offsets.values())
    assert max(offsets[name] + size for name, size in sizes.items()) <= total
    names = list(sizes)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            together = intervals[a][0] <= intervals[b][1] and intervals[b][0] <= intervals[a][1]
            apart = offsets[a] + sizes[a] <= offsets[b] or offsets[b] + sizes[b] <= offsets[a]
            assert apart or not together, (a, b)
    assert lower_bound(sizes, intervals) <= total <= 1.6 * lower_bound(sizes, intervals)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=20))
def test_chains_reach_the_lower_bound(chain: list[int]) -> None:
    sizes = {f"t{i}": size for i, size in enumerate(chain)}
    intervals = {f"t{i}": (i, i + 1) for i in range(len(chain))}
    assert plan(sizes, intervals)[1] == lower_bound(sizes, intervals)


def test_residual_blocks_reach_the_lower_bound() -> None:
    # x -> h -> y = f(h) + x, many times: x lives over two calls more than a chain's tensor.
    sizes, intervals = {}, {}
    for i in range(0, 20, 2):
        sizes[f"x{i}"], intervals[f"x{i}"] = 640, (i, i + 2)
        sizes[f"h{i}"], intervals[f"h{i}"] = 2560, (i + 1, i + 2)
    assert plan(sizes, intervals)[1] == lower_bound(sizes, intervals)


def test_nothing_to_place() -> None:
    assert plan({}, {}) == ({}, 0)


def test_refuses_intervals_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="differ in b"):
        plan({"a": 1, "b": 2}, {"a": (0, 1)})
    with pytest.raises(ValueError, match="before it starts"):
        plan({"a": 1}, {"a": (3, 1)})
