"""The journal keeps every finished trial, whatever happens to its last line."""

from pathlib import Path

import pytest

from efcompile.errors import TuningError
from efcompile.tuning.journal import Entry, Journal, vector


def entry(rows: int, seconds: float | None = 1e-3, failure: str = "") -> Entry:
    return Entry(
        kernel="gemm",
        shape="Shape(m=1)",
        knobs={"tile.rows": rows},
        seconds=seconds,
        failure=failure,
        device="local",
    )


@pytest.mark.parametrize("cost", ["NaN", "Infinity", "-0.001", "0"])
def test_a_cost_that_cannot_be_is_damage(tmp_path: Path, cost: str) -> None:
    journal = Journal.open(tmp_path / "trials.jsonl")
    for rows in (4, 5):
        journal.add(entry(rows))
    first, second = journal.path.read_text().splitlines()
    damaged = second.replace('"seconds":0.001', f'"seconds":{cost}')
    assert damaged != second
    journal.path.write_text(f"{first}\n{damaged}\n")
    with pytest.warns(UserWarning, match="line 2"):
        again = Journal.open(journal.path)
    assert set(again.of(("gemm", "Shape(m=1)"))) == {vector({"tile.rows": 4})}


def test_a_failure_may_say_anything(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "trials.jsonl")
    journal.add(entry(4, None, failure="one\u2028two\x85three\nfour"))
    assert Journal.open(journal.path).entries == journal.entries


def test_a_trial_that_cannot_be_kept_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(TuningError, match=r"cannot keep a trial .*run again"):
        Journal(tmp_path / "taken" / "trials.jsonl").add(entry(4))


def test_what_was_added_is_read_again(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "W" / "trials.jsonl")
    for rows in (4, 5):
        journal.add(entry(rows))
    journal.add(entry(6, None, failure="ended by signal 11"))
    again = Journal.open(journal.path)
    assert again.entries == journal.entries
    found = again.of(("gemm", "Shape(m=1)"))
    assert found[vector({"tile.rows": 5})].seconds == 1e-3
    assert found[vector({"tile.rows": 6})].failure == "ended by signal 11"
    assert again.of(("gemm", "another shape")) == {}


def test_a_later_trial_of_the_same_knobs_replaces_the_earlier(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "trials.jsonl")
    journal.add(entry(4))
    journal.add(entry(4, 2e-3))
    found = Journal.open(journal.path).of(("gemm", "Shape(m=1)"))
    assert [one.seconds for one in found.values()] == [2e-3]


@pytest.mark.parametrize("keep", [1, 20, -1])
def test_a_line_cut_short_costs_itself_alone(tmp_path: Path, keep: int) -> None:
    journal = Journal.open(tmp_path / "trials.jsonl")
    for rows in (4, 5):
        journal.add(entry(rows))
    first, second, _ = journal.path.read_text().split("\n")
    journal.path.write_text(f"{first}\n{second[:keep]}")
    with pytest.warns(UserWarning, match=r"trials.jsonl: .*line 2"):
        mended = Journal.open(journal.path)
    mended.add(entry(6))
    with pytest.warns(UserWarning, match="line 2"):
        again = Journal.open(journal.path)
    assert set(again.of(("gemm", "Shape(m=1)"))) == {
        vector({"tile.rows": 4}),
        vector({"tile.rows": 6}),
    }


@pytest.mark.parametrize("line", ["\xff\xfe", "[]", '{"kernel": "gemm"}', '{"kernel": 3'])
def test_a_damaged_line_in_the_middle_is_passed_over(tmp_path: Path, line: str) -> None:
    journal = Journal.open(tmp_path / "trials.jsonl")
    journal.add(entry(4))
    text = journal.path.read_bytes()
    journal.path.write_bytes(text + line.encode("latin-1") + b"\n" + text)
    with pytest.warns(UserWarning, match="line 2"):
        again = Journal.open(journal.path)
    assert again.entries == journal.entries
