"""`efcompile tune`: from a model to winners in a folder, stopped early or not."""

import json
import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from efcompile.api import CompiledModel
from efcompile.errors import TuningError
from tests.cli.command import SMALL, efcompile, refused

QUICK = ("--trials", 8, "--tasks", 1)

needs_arm64 = pytest.mark.skipif(
    not (shutil.which("qemu-aarch64") and find_spec("ziglang")),
    reason="apt-get install qemu-user; pip install 'efcompile[cross]'",
)


@needs_arm64
def test_instructions_before_and_after_and_the_command_that_uses_the_winners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = efcompile("tune", SMALL, "--device", "qemu", *QUICK, "--work-dir", "W", "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["before"]["kind"] == "emulated" and found["before"]["unit"] == "instructions"
    assert 0 < found["trials"] <= 8 and len(found["tasks"]) == 1
    # The tile of a convolution this small is worth tuning; counts repeat exactly.
    assert found["kept"] and found["after"]["value"] < found["before"]["value"]
    assert "searching: 0 of 8 trials" in said.err
    assert f"[{found['trials']}/8] conv_direct" in said.err
    words = found["use"].split()
    wanted = "efcompile optimize tests.small:small --target arm64 --tuning-records W"
    assert words == [*wanted.split(), "--emulated-records"]
    used = efcompile(*words[1:], "--json")
    assert used.code == 0, used.err
    bundle = json.loads(used.out)["bundle"]
    counted = json.loads(efcompile("bench", bundle, "--device", "qemu", "--json").out)
    value = counted["measurements"]["instructions"]["value"]
    assert value == found["after"]["value"]


@needs_arm64
def test_ctrl_c_keeps_and_reports_what_was_found(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "efcompile", "tune", SMALL, "--trials", "5000"]
    with subprocess.Popen(
        [*command, "--work-dir", str(tmp_path / "W"), "--device", "qemu", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        for line in running.stderr:
            if line.startswith("["):
                # As a terminal does: the trials' own programs get it too.
                os.killpg(running.pid, signal.SIGINT)
                break
        said = running.stderr.read()
        found = json.loads(running.stdout.read())
    assert running.returncode == 0, said
    assert said.startswith("stopping: trials in flight are finished")
    assert found["stopped"] and 0 < found["trials"] < 5000
    journal = Path(found["records"]) / "trials.jsonl"
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    assert len(entries) == found["trials"]
    assert not any("signal 2" in entry["failure"] for entry in entries)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--device", "quemu"), "did you mean `qemu`"),
        (("--device", "local", "--serial", "X"), "`serial` is a setting of adb"),
        (("--device", "local", "--target", "arm64"), "does not run on"),
        (("--device", "rpc", "--tracker", "127.0.0.1:9", "--key", "k"), "nothing listens"),
        (("--device", "qemu", "--target", "host"), "arm64"),
    ],
)
def test_what_may_be_refused_is_refused_at_once(arguments: tuple[str, ...], words: str) -> None:
    assert words in refused("tune", SMALL, *arguments)


def test_no_trials_are_wrong_usage() -> None:
    assert efcompile("tune", SMALL, "--trials", 0).code == 2


@pytest.mark.parametrize(("option", "shipped"), [("--tuned", True), ("--no-tuned", False)])
def test_it_starts_from_what_ships_or_from_the_analytic_defaults(
    option: str, shipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[CompiledModel] = []

    def tune(model: CompiledModel, **given: object) -> CompiledModel:
        started.append(model)
        raise TuningError("not in this test")

    monkeypatch.setattr(CompiledModel, "tune", tune)
    assert "not in this test" in refused("tune", SMALL, option, "--work-dir", tmp_path)
    (model,) = started
    assert model.history is not None and model.history.knobs.shipped is shipped
