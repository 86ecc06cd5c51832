"""`efcompile tune` as users run it: killed, interrupted, resumed, and its winners used."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from efcompile.tuning.journal import Entry, Journal

ROOT = Path(__file__).parents[2]
MODEL = "tests.tuning.model:mixing"


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "efcompile", *map(str, words)]


def tune(folder: Path, trials: int) -> list[str]:
    options = ("--work-dir", folder, "--trials", str(trials), "--tasks", "2", "--json")
    return command("tune", MODEL, *options)


def finished(folder: Path) -> dict[tuple[str, str, str], Entry]:
    """Every trial that is on disk, by kernel, shape and knobs."""
    return {
        (*key, str(knobs)): entry
        for file in folder.glob("measured/*/trials.jsonl")
        for key, entries in Journal.open(file).entries.items()
        for knobs, entry in entries.items()
    }


def after_trials(folder: Path, count: int, process: "subprocess.Popen[str]") -> None:
    """Wait until so many trials are on disk."""
    deadline = time.monotonic() + 240
    while len(finished(folder)) < count:
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline, "no trials in four minutes"
        time.sleep(0.05)


@pytest.fixture
def quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.usefixtures("quiet_environment")
def test_a_killed_run_is_resumed_with_every_finished_trial(tmp_path: Path) -> None:
    with subprocess.Popen(tune(tmp_path, 1000), stdout=subprocess.PIPE, text=True) as process:
        after_trials(tmp_path, 5, process)
        process.kill()
    before = finished(tmp_path)
    assert len(before) >= 5

    total = len(before) + 3
    done = subprocess.run(tune(tmp_path, total), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["trials"] == total
    after = finished(tmp_path)
    assert len(after) == total
    assert {key: after[key] for key in before} == before


@pytest.mark.usefixtures("quiet_environment")
def test_ctrl_c_ends_it_with_what_was_found(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(tune(tmp_path, 1000), stdout=pipe, stderr=pipe, text=True) as process:
        after_trials(tmp_path, 3, process)
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "stopping" in said
    found = json.loads(printed)
    assert found["stopped"] is True
    assert 3 <= found["trials"] < 1000
    assert found["relative_error"] < 1e-4
    if found["kept"]:
        winners = json.loads(Path(found["winners"]).read_text())["winners"]
        use = [sys.executable, "-m", *found["use"].split()]
        done = subprocess.run(
            [*use, "--out", str(tmp_path / "out"), "--threads", "1"],
            capture_output=True,
            text=True,
            env=os.environ | {"COLUMNS": "200"},
        )
        assert done.returncode == 0, done.stderr
        (manifest,) = (tmp_path / "out").glob("*/manifest.json")
        origins = [kernel["knobs"] for kernel in json.loads(manifest.read_text())["kernels"]]
        assert origins.count("records") <= len(winners)
