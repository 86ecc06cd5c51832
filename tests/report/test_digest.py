import pytest

from efcompile.report.digest import Trend, is_idle, ledger_scale, refusals, stage_name, trend, whole
from efcompile.report.document import RefusalEntry
from tests.report import example


@pytest.mark.parametrize(
    ("low", "value", "high", "wanted"),
    [
        (-3, -2, -1, "better"),
        (1, 2, 3, "worse"),
        (-3, -1, 1, "even"),
        (0, 0, 0, "even"),
        (0, 2, 3, "even"),
        (-5, -5, -5, "better"),
    ],
)
def test_a_difference_is_one_beyond_its_interval(
    low: float, value: float, high: float, wanted: Trend
) -> None:
    made = example.Factory().figure(0)
    update = {"low": low, "value": value, "high": high}
    assert trend(made.model_copy(update=update)) == wanted


def test_the_whole_in_words() -> None:
    slower = example.measured()
    rows = slower.ledger.rows
    swapped = slower.ledger.model_copy(update={"rows": (rows[-1], rows[0])})
    found = whole(slower.model_copy(update={"ledger": swapped}))
    assert found and found.change.endswith("more time, 0.597\N{MULTIPLICATION SIGN} as fast")
    emulated = whole(example.emulated())
    assert emulated and emulated.change == "40 % fewer"
    empty = slower.ledger.model_copy(update={"rows": ()})
    assert whole(slower.model_copy(update={"ledger": empty})) is None


def test_idle_is_who_changed_nothing_and_was_kept() -> None:
    rows = {row.name: row for row in example.measured().ledger.rows}
    assert is_idle(rows["swap-patch-embed"])
    assert not is_idle(rows["captured"])
    assert not is_idle(rows["fold-batchnorm"])
    assert not is_idle(rows["swap-patch-embed"].model_copy(update={"kept": False}))


def test_one_scale_for_all_rows() -> None:
    assert ledger_scale(example.measured()).name == "ms"
    assert ledger_scale(example.emulated()).name == "M instr"


def test_refusals_by_reason() -> None:
    entries = [RefusalEntry(where=w, source="", reason=r) for w, r in ("ax", "by", "cy")]
    row = example.measured().ledger.rows[1].model_copy(update={"refused": tuple(entries)})
    assert refusals(row) == [("y", entries[1:]), ("x", entries[:1])]


def test_the_last_stage_stands_for_all() -> None:
    report = example.measured()
    assert stage_name(report, report.ledger.rows[-1].name) == "all passes"
    assert stage_name(report, "captured") == "captured"
