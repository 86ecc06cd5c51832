"""Descriptions of rewrites, grouped for people."""

from efcompile.cli.pass_table import kinds, summary
from efcompile.passes.base import Outcome


def test_rewrites_that_differ_in_node_numbers_are_of_one_kind() -> None:
    outcome = Outcome(("conv2d_1 + add", "conv2d + add_12", "bn1_3 + conv2d_2"), ())
    assert kinds(outcome) == {"conv2d + add": 2, "bn1 + conv2d": 1}
    assert summary(outcome) == "3: 2 x conv2d + add, 1 x bn1 + conv2d"


def test_shapes_and_values_do_not_make_kinds() -> None:
    outcome = Outcome(
        (
            "index [8, 49, 49]",
            "index_1 [8, 49, 196]",
            "0.25 of mul_2 into 32 rows of conv2d_default_3",
            "1e-05 of mul into 128 rows of conv2d_default",
        ),
        (),
    )
    assert kinds(outcome) == {"index": 2, "n of mul into n rows of conv2d": 2}


def test_long_lists_are_cut_and_nothing_is_nothing() -> None:
    outcome = Outcome(("a", "b", "c", "d", "e"), ())
    assert summary(outcome) == "5: 1 x a, 1 x b, 1 x c, 2 of other kinds"
    assert summary(Outcome((), ())) == ""
