"""Calls are put together without losing any."""

import pytest

from efcompile.report.grouping import GROUPINGS, By, cut, groups, place
from tests.report.profiles import profile


@pytest.mark.parametrize("by", GROUPINGS)
def test_nothing_is_lost(by: By) -> None:
    found = groups(profile(), by)
    assert sorted(row.index for group in found for row in group.rows) == [0, 1, 2, 3]
    assert sum(group.cost for group in found) == pytest.approx(100)
    assert found[-1].cumulative == pytest.approx(1.0)


def test_calls_of_a_kernel_share_a_line_and_the_largest_comes_first() -> None:
    gemm, softmax, conv = groups(profile(), "kernel")
    assert (gemm.name, gemm.cost, gemm.share) == ("net_k_gemm_abcdef", 50, 0.5)
    assert (softmax.cost, conv.cost) == (40, 10)
    assert [group.cumulative for group in (gemm, softmax, conv)] == pytest.approx([0.5, 0.9, 1.0])
    assert gemm.rates == pytest.approx((2000 / 50, 1000 / 50))
    assert gemm.roofline_share == pytest.approx(0.5)
    assert gemm.sources == ("blocks.0.fc", "blocks.1.fc", "blocks.1")


def test_calls_stay_in_the_networks_order() -> None:
    assert [group.name for group in groups(profile(), "call")] == ["0", "1", "2", "3"]


def test_classes_are_in_the_figures_order() -> None:
    names = [group.name for group in groups(profile(), "class")]
    assert names == ["patch embed", "attention", "linear/conv"]


def test_modules_are_cut() -> None:
    assert [group.name for group in groups(profile(), "module", depth=1)] == ["blocks", "stem"]
    names = {group.name for group in groups(profile(), "module", depth=2)}
    assert names == {"stem", "blocks.0", "blocks.1"}


def test_instructions_have_no_rates() -> None:
    (first, *_) = groups(profile("instructions"), "kernel")
    assert (first.rates, first.roofline_share) == (None, None)


@pytest.mark.parametrize(
    ("sources", "where"),
    [
        (("a.b.c",), "a.b.c"),
        (("a.b.c", "a.b.d"), "a.b"),
        (("a.b.c", "a.b"), "a.b"),
        (("a.b", "ab"), "a.b +1"),
        (("(model)", "head.fc"), "head.fc"),
        (("(model)",), "(model)"),
        ((), "(model)"),
    ],
)
def test_the_place_is_what_the_modules_share(sources: tuple[str, ...], where: str) -> None:
    assert place(sources) == where


def test_cutting_keeps_what_is_short() -> None:
    assert cut("a", 3) == "a"
    assert cut("a.b.c.d", 3) == "a.b.c"
