"""Damaged lines of the database's files."""

import warnings
from pathlib import Path

import pytest

from efcompile.tuning.database import open_database
from efcompile.tuning.space import knob_space
from tests.tuning.toy import task

ONE, TWO, THREE = task(16), task(32), task(48)


def _values(rows: int) -> dict[str, int]:
    return {"tile.rows": rows, "tile.panel": 8, "tasks": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three workloads, with two, two and one records."""
    with open_database(tmp_path) as database:
        for which, rows in ((ONE, 1), (ONE, 2), (TWO, 3), (TWO, 4), (THREE, 5)):
            database.commit(database.record(which, _values(rows), rows * 1e-6))
    return tmp_path


def _rows(folder: Path) -> list[list[int]]:
    with open_database(folder) as database:
        histories = [database.history(which) for which in (ONE, TWO, THREE)]
    for history in histories:
        assert all(seconds == values["tile.rows"] * 1e-6 for values, seconds in history)
    return [[values["tile.rows"] for values, _ in history] for history in histories]


def _damage(path: Path, line: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_text("".join(f"{line}\n" for line in lines))


def _quiet(folder: Path) -> list[list[int]]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return _rows(folder)


def test_undamaged_files_stay_as_they_are(folder: Path) -> None:
    before = [(folder / name).read_bytes() for name in ("workloads.json", "records.json")]
    assert _quiet(folder) == [[1, 2], [3, 4], [5]]
    after = [(folder / name).read_bytes() for name in ("workloads.json", "records.json")]
    assert before == after
    assert not list(folder.glob("*.damaged"))


def test_a_damaged_workload_line_keeps_its_place(folder: Path) -> None:
    damaged = (folder / "workloads.json").read_text().splitlines()[0][:-40]
    _damage(folder / "workloads.json", 1, damaged)
    with pytest.warns(UserWarning, match=r"workloads.json: 1 damaged line\(s\) \(1\)") as caught:
        assert _rows(folder) == [[], [3, 4], [5]]
    assert len(caught) == 1
    # Mended for good; the first task's next records get a workload line of their own.
    with open_database(folder) as database:
        database.commit(database.record(ONE, _values(7), 7e-6))
    assert _quiet(folder) == [[7], [3, 4], [5]]
    assert len((folder / "workloads.json").read_text().splitlines()) == 4
    assert damaged in (folder / "workloads.json.damaged").read_text()
    assert len((folder / "records.json.damaged").read_text().splitlines()) == 5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "no json",
        "[99, [[[], []], [1.0], null, null]]",
        "[-1, [[[], []], [1.0], null, null]]",
        '[0, [[[["Unheard", [], [], []]], []], [1.0], null, null]]',
        '[0, [[[], []], ["fast"], null, null]]',
        "[0, [[[], []], [NaN], null, null]]",
        "\udcff\udcfe",
    ],
)
def test_a_damaged_record_line_is_skipped(folder: Path, text: str) -> None:
    path = folder / "records.json"
    lines = path.read_text().splitlines()
    lines[2] = text
    content = "".join(f"{line}\n" for line in lines)
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.warns(UserWarning, match=r"records.json: 1 damaged line\(s\) \(3\)") as caught:
        assert _rows(folder) == [[1, 2], [4], [5]]
    assert len(caught) == 1
    assert _quiet(folder) == [[1, 2], [4], [5]]


def test_a_half_written_last_line_does_not_swallow_the_next(folder: Path) -> None:
    path = folder / "records.json"
    path.write_text(path.read_text()[:-30])
    with (
        pytest.warns(UserWarning, match=r"records.json: 1 damaged line\(s\) \(5\)"),
        open_database(folder) as database,
    ):
        database.commit(database.record(THREE, _values(6), 6e-6))
    assert _quiet(folder) == [[1, 2], [3, 4], [6]]


def test_a_last_line_that_only_lacks_its_end_is_kept(folder: Path) -> None:
    for name in ("workloads.json", "records.json"):
        (folder / name).write_text((folder / name).read_text().removesuffix("\n"))
    with open_database(folder) as database:
        database.commit(database.record(task(64), _values(6), 6e-6))
    assert _quiet(folder) == [[1, 2], [3, 4], [5]]
    assert not list(folder.glob("*.damaged"))


def test_both_files_damaged_warn_once_each_and_nothing_kept_is_lost(folder: Path) -> None:
    _damage(folder / "workloads.json", 2, "gone")
    for line in (1, 5):
        _damage(folder / "records.json", line, "gone")
    with pytest.warns(UserWarning) as caught:
        assert _rows(folder) == [[2], [], []]
    assert [str(warning.message).split(": ")[1] for warning in caught] == [
        "1 damaged line(s) (2); what was recorded for them is left out, the rest is used; "
        "the file as it was is kept as workloads.json.damaged",
        "2 damaged line(s) (1, 5); they are left out, the rest is used; "
        "the file as it was is kept as records.json.damaged",
    ]
    # A second accident does not overwrite what the first one left.
    _damage(folder / "records.json", 1, "gone")
    with pytest.warns(UserWarning, match="records.json.damaged-2"):
        assert _rows(folder) == [[], [], []]
    assert knob_space(ONE).covers(_values(1))
