"""What MetaSchedule asks for is built and run once, and written down at once."""

from pathlib import Path

import pytest

from efcompile.bundle.trial import TrialSettings
from efcompile.devices.local import Local
from efcompile.targets.resolve import resolve
from efcompile.tuning.bench import Bench
from efcompile.tuning.journal import Entry, Journal, vector
from efcompile.tuning.search import Trials
from efcompile.tuning.space import knob_space
from tests.tuning.model import task


@pytest.fixture
def heard() -> list[Entry]:
    return []


def trials(folder: Path, heard: list[Entry]) -> Trials:
    settings = TrialSettings(seconds=0.002, least=3, warmup=1)
    bench = Bench(Local(), resolve("host"), settings, folder / "scratch")
    one = task("mlp")
    return Trials(bench, Journal.open(folder / "trials.jsonl"), {one.key: one}, heard.append)


def test_every_outcome_is_in_the_journal_and_asked_for_once(
    tmp_path: Path, heard: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = task("mlp")
    start = knob_space(one).start
    impossible = start | {"rows": 0}
    found = trials(tmp_path, heard)
    folder, refused = found.build([(one.key, start), (one.key, impossible)])
    assert isinstance(folder, Path)
    assert isinstance(refused, str) and "compiling it failed" in refused
    (entry,) = found.run([str(folder)])
    assert entry.seconds is not None and entry.seconds > 0
    assert {vector(e.knobs) for e in heard} == {vector(start), vector(impossible)}

    again = trials(tmp_path, heard)
    monkeypatch.setattr(Bench, "measure", None)
    known, still = again.build([(one.key, start), (one.key, impossible)])
    assert still == refused
    assert again.run([str(known)]) == [entry]
    assert len(heard) == 2
