"""A whole run on this machine: small, and real."""

import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from efcompile.bundle.trial import TrialSettings
from efcompile.devices.local import Local
from efcompile.devices.qemu import Qemu
from efcompile.errors import DeviceError, ToolchainError, TuningError
from efcompile.kernels.knob_source import ANALYTIC
from efcompile.kernels.knobs import flatten
from efcompile.kernels.tuned import Winner, Winners
from efcompile.targets.resolve import resolve
from efcompile.tuning import tuner
from efcompile.tuning.database import open_database
from efcompile.tuning.journal import Journal
from efcompile.tuning.progress import Progress
from efcompile.tuning.tuner import Tuning, tune
from tests.tuning.model import task, tasks

QUICK = TrialSettings(seconds=0.002, least=3, warmup=1)


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuner, "ROUNDS", 5)
    monkeypatch.setattr("efcompile.tuning.fusion._ROUNDS", 5)
    monkeypatch.setattr(tuner, "BATCH", 3)


def run(folder: Path, trials: int, **more: object) -> Tuning:
    options = {"target": resolve("host"), "settings": QUICK, "knobs": ANALYTIC, "heaviest": 2}
    return tune(tasks(), Local(), trials=trials, work_dir=folder, **(options | more))  # type: ignore[arg-type]


def test_a_run_ends_with_what_it_was_asked_for(tmp_path: Path) -> None:
    heard: list[Progress] = []
    found = run(tmp_path, 8, watch=heard.append)
    assert found.trials == 8 and not found.stopped
    assert len(found.tasks) == 2
    assert all(state.note in ("accepted", "default kept") for state in found.tasks)
    assert all(state.best <= state.start for state in found.tasks)
    assert sum(state.share for state in found.tasks) == pytest.approx(1.0)
    assert heard[0].phase == "what is there" and heard[-1].phase == "done"
    assert max(p.trials_done for p in heard) == 8
    accepted = [state for state in found.tasks if state.note == "accepted"]
    assert len(found.winners.winners) >= len(accepted)
    assert all(winner.best < winner.start for winner in found.winners.winners)
    assert found.winners.applies_to(resolve("host"))
    journal = Journal.open(found.folder / "trials.jsonl")
    assert sum(len(entries) for entries in journal.entries.values()) == 8


def test_a_second_run_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    first = run(tmp_path, 5)
    before = Journal.open(first.folder / "trials.jsonl").entries
    heard: list[Progress] = []
    second = run(tmp_path, 9, watch=heard.append)
    assert second.trials == 9
    assert next(p for p in heard if p.phase == "searching").trials_done == 5
    after = Journal.open(second.folder / "trials.jsonl").entries
    for key, entries in before.items():
        for knobs, entry in entries.items():
            assert after[key][knobs] == entry
    done = run(tmp_path, 9)
    assert Journal.open(done.folder / "trials.jsonl").entries == after


def test_what_only_the_journal_knows_goes_into_the_database(tmp_path: Path) -> None:
    """A killed run leaves trials of its last batch there alone."""
    found = run(tmp_path, 5)
    (found.folder / "records.json").write_text("")
    (found.folder / "workloads.json").write_text("")
    run(tmp_path, 5)
    journal = Journal.open(found.folder / "trials.jsonl")
    with open_database(found.folder) as database:
        for one in tasks():
            known = {tuple(sorted(values.items())) for values, _ in database.history(one)}
            assert known >= set(journal.of(one.key))


def test_trials_of_other_numbers_of_threads_are_kept_apart(tmp_path: Path) -> None:
    run(tmp_path, 3)
    both = run(tmp_path, 2, settings=replace(QUICK, threads=2))
    one = Journal.open(both.folder / "trials.jsonl").entries
    two = Journal.open(both.folder / "2-threads" / "trials.jsonl").entries
    assert [sum(map(len, found.values())) for found in (one, two)] == [3, 2]


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_measured(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    heard: list[Progress] = []
    with pytest.raises(TuningError, match=r"file: records cannot be written .*another folder"):
        run(tmp_path / "file", 2, watch=heard.append)
    assert heard == []


def test_a_missing_library_is_said_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    heard: list[Progress] = []
    with pytest.raises(ToolchainError, match="scikit-learn"):
        run(tmp_path, 2, watch=heard.append)
    assert heard == []


def test_a_wish_to_stop_ends_it_with_what_was_found(tmp_path: Path) -> None:
    stop = threading.Event()

    def watch(progress: Progress) -> None:
        if progress.trials_done >= 3:
            stop.set()

    found = run(tmp_path, 1000, watch=watch, stop=stop)
    assert found.stopped
    assert 3 <= found.trials < 20
    assert found.winners.kind == "measured"


def test_a_failing_device_keeps_the_trials_that_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def watch(progress: Progress) -> None:
        if progress.trials_done == 4:
            raise DeviceError("the phone is gone")

    with pytest.raises(DeviceError, match="the phone is gone"):
        run(tmp_path, 20, watch=watch)
    (file,) = tmp_path.glob("measured/*/trials.jsonl")
    assert sum(len(found) for found in Journal.open(file).entries.values()) == 4
    again = run(tmp_path, 6)
    assert again.trials == 6


def test_it_starts_from_winners_that_are_there(tmp_path: Path) -> None:
    found = run(tmp_path, 2)
    one = task("mlp")
    kernel, shape = one.key
    knobs = flatten(one.default) | {"rows": 20}
    winner = Winner(
        kernel=kernel, shape=shape, knobs=knobs, start=2.0, best=1.0, unit="ns", date="2026-01-01"
    )
    mine = found.winners.model_copy(update={"winners": (winner,), "splits": ()})
    mine.dump(found.folder / "winners.json")
    again = run(tmp_path, 2)
    with open_database(again.folder) as database:
        assert any(values["rows"] == 20 for values, _ in database.history(one))


def test_winners_of_a_related_target_are_tried_first(tmp_path: Path) -> None:
    found = run(tmp_path / "one", 2)
    one = task("mlp")
    kernel, shape = one.key
    knobs = flatten(one.default) | {"rows": 20}
    winner = Winner(
        kernel=kernel, shape=shape, knobs=knobs, start=2.0, best=1.0, unit="ns", date="2026-01-01"
    )
    theirs = found.winners.target.model_copy(update={"l2_bytes": 12345})
    other = Winners.model_validate(
        found.winners.model_copy(
            update={"winners": (winner,), "splits": (), "target": theirs}
        ).model_dump()
    )
    other.dump(tmp_path / "two" / "measured" / theirs.name / "winners.json")
    again = run(tmp_path / "two", 6)
    tried = Journal.open(again.folder / "trials.jsonl").of(one.key)
    assert any(entry.knobs["rows"] == 20 for entry in tried.values())


def test_instructions_are_kept_apart_from_times(tmp_path: Path) -> None:
    found = tune(
        tasks("arm64"),
        Qemu(),
        target=resolve("arm64"),
        trials=3,
        work_dir=tmp_path,
        settings=QUICK,
        knobs=ANALYTIC,
        heaviest=1,
    )
    assert found.folder.parent.name == "emulated"
    assert found.winners.kind == "emulated"
    assert all(state.unit == "instructions" for state in found.tasks)
    assert not (tmp_path / "measured").exists()


@pytest.mark.parametrize("more", [{"trials": 0}, {"heaviest": 0, "trials": 4}])
def test_nothing_to_do_is_said(tmp_path: Path, more: dict[str, int]) -> None:
    with pytest.raises(TuningError, match="nothing to do"):
        run(tmp_path, **more)


def test_a_model_without_knobs_is_said(tmp_path: Path) -> None:
    with pytest.raises(TuningError, match="no kernel with knobs"):
        tune((), Local(), target=resolve("host"), trials=1, work_dir=tmp_path, settings=QUICK)


def test_a_device_that_runs_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("efcompile.tuning.bench.TOLERANCE", -1.0)
    with pytest.raises(DeviceError, match=r"local cannot run .* wrong numbers"):
        run(tmp_path, 2)
