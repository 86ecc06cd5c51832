"""Gate and lock on the command line: decided once, obeyed later, refused elsewhere."""

from pathlib import Path

import pytest

from efcompile.passes import pipeline
from efcompile.passes.base import Pass
from efcompile.passes.pipeline import PIPELINE
from efcompile.report.lock import read_lock
from efcompile.report.schema import read_report
from tests.cli.command import efcompile, refused
from tests.report.blocks import Wasteful

MODEL = "tests.report.planted:blocks"
PASSES = ("--passes", "fold-batchnorm,fold-layer-scale,cancel-reshapes")


class Slow(Wasteful):
    """Costs more than it brings, under the name of a pass that may be asked for."""

    name = "fold-layer-scale"


@pytest.fixture
def wasteful(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline with `Slow` in it."""
    changed: list[Pass] = [Slow() if step.name == Slow.name else step for step in PIPELINE]
    monkeypatch.setattr(pipeline, "PIPELINE", tuple(changed))


@pytest.mark.usefixtures("wasteful")
def test_what_the_gate_decides_is_obeyed_by_later_runs(tmp_path: Path) -> None:
    lock, path = tmp_path / "efcompile.lock", tmp_path / "r.json"
    gate = ("--gate", "latency,numerics", "--lock", lock, "--no-profile", "--budget", 6)
    said = efcompile("report", MODEL, *PASSES, *gate, "--json", path)
    assert said.code == 0, said.err
    assert "gate: without fold-layer-scale: +" in said.out
    (decision,) = read_lock(lock)
    assert decision.names == ("fold-layer-scale",) and decision.device == "local"
    kept = {row.name: row.kept for row in read_report(path).ledger.rows}
    assert kept["fold-layer-scale"] is False and kept["fold-batchnorm"] is True

    said = efcompile("optimize", MODEL, *PASSES, "--lock", lock, "--out", tmp_path)
    assert said.code == 0, said.err
    assert f"{lock}: without fold-layer-scale: +" in said.err
    assert "fold-batchnorm" in said.out and "fold-layer-scale" not in said.out

    obeyed = ("--lock", lock, "--no-profile", "--budget", 2, "--json", path)
    said = efcompile("report", MODEL, *PASSES, *obeyed)
    assert said.code == 0, said.err
    names = [row.name for row in read_report(path).ledger.rows]
    assert names == ["captured", "fold-batchnorm", "legalise", "cancel-reshapes"]
    # Checking that report obeys the lock again.
    said = efcompile("check", path, "--budget", 2, "--slack", 0.5)
    assert said.code == 0 and f"{lock}: without fold-layer-scale: +" in said.err

    line = refused("optimize", MODEL, "--batch", 2, "--lock", lock, "--out", tmp_path)
    assert "does not apply: it decides on inputs 1x32x29x29, and this is 2x32x29x29" in line


def test_a_lock_that_is_none_is_refused_before_the_work(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    line = refused("report", MODEL, "--lock", lock)
    assert "cannot read the lock" in line and "--gate" in line
    assert "cannot read the lock" in refused("optimize", MODEL, "--lock", lock)
    lock.write_text("not a lock")
    assert "is not TOML" in refused("report", MODEL, "--gate", "latency", "--lock", lock)
    assert "unknown gate 'speed'" in refused("report", MODEL, "--gate", "speed")
