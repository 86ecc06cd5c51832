"""`efcompile tune` as users run it: killed and resumed, over RPC, over adb."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from efcompile.tuning.journal import Entry, Journal
from tests.devices.arm64 import needs_arm64
from tests.devices.phones import StandIn, phone

__all__ = ["phone"]  # a fixture

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


def test_a_killed_run_is_resumed_with_every_finished_trial(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(tune(tmp_path, 1000), stdout=pipe, text=True, cwd=ROOT) as process:
        after_trials(tmp_path, 5, process)
        process.kill()
    before = finished(tmp_path)
    assert len(before) >= 5

    total = len(before) + 3
    done = subprocess.run(tune(tmp_path, total), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["trials"] == total
    after = finished(tmp_path)
    assert len(after) == total
    assert {key: after[key] for key in before} == before


@needs_arm64
def test_the_loop_of_a_phone_over_rpc(tmp_path: Path) -> None:
    """`devices emulate` in one terminal, `tune --device rpc` in another: candidates are built
    here and run there, then the whole model is, and checked."""
    start = command("devices", "emulate", "--json")
    with subprocess.Popen(start, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            assert server.stdout is not None
            document = "".join(iter(server.stdout.readline, "}\n")) + "}"
            tracker = json.loads(document)["tracker"]
            over = ("--target", "arm64", "--device", "rpc", "--tracker", tracker, "--key", "arm64")
            found = _tuned(tmp_path, *over)
        finally:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(60)
            finally:
                server.kill()
    assert found["trials"] == 4
    assert found["before"]["kind"] == found["after"]["kind"] == "emulated"
    assert found["relative_error"] < 1e-4
    records = Path(found["records"])
    assert records.parent.name == "emulated-times"
    assert len(list(open_lines(records / "records.json"))) >= 4
    assert len(list(open_lines(records / "trials.jsonl"))) == 4


@needs_arm64
def test_the_loop_of_a_phone_over_adb(tmp_path: Path, phone: StandIn) -> None:
    """The same with a static program pushed to a phone, here the stand-in's."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "adb").symlink_to(phone.adb)
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    found = _tuned(tmp_path / "W", "--target", "arm64", "--device", "adb", PATH=path)
    assert found["trials"] == 4
    assert found["before"]["device"].startswith("adb")
    assert found["before"]["kind"] == "emulated"
    assert found["relative_error"] < 1e-4
    assert list(phone.storage.iterdir()) == [], "something was left on the phone"


def _tuned(folder: Path, *options: str, **variables: str) -> dict[str, Any]:
    """What `tune` says of four trials of one task."""
    line = command("tune", MODEL, "--work-dir", folder, "--trials", "4", "--tasks", "1", "--json")
    done = subprocess.run(
        [*line, *options], capture_output=True, text=True, cwd=ROOT, env=os.environ | variables
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def open_lines(path: Path) -> Iterator[str]:
    """The lines of a file that are not empty."""
    return (line for line in path.read_text().splitlines() if line.strip())
