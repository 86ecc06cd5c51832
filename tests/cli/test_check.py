"""`efcompile check`: the report's own command again, and exit codes for CI."""

import json
import re
from pathlib import Path

import pytest

from efcompile.passes import pipeline
from efcompile.passes.pipeline import PIPELINE
from efcompile.report.schema import read_report, write_report
from tests.cli.command import SMALL, efcompile, refused
from tests.report.blocks import Wasteful

PASSES = "fold-batchnorm,fold-layer-scale,cancel-reshapes"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("check") / "report.json"
    options = ("--passes", PASSES, "--no-profile", "--budget", 5, "--json", path)
    said = efcompile("report", "tests.report.planted:blocks", *options)
    assert said.code == 0, said.err
    return path


def test_an_unchanged_tree_passes(saved: Path) -> None:
    # More slack than the default: others may use this machine at the same time.
    said = efcompile("check", saved, "--budget", 5, "--slack", 0.3)
    assert said.code == 0, said.out + said.err
    assert "no regression: " in said.out and "as captured" in said.out
    assert "blocks, measured on local, 1 thread(s)" in said.out


def test_a_planted_slowdown_fails(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A change of the tree: fold-layer-scale now wastes time, under its old name.
    class Slow(Wasteful):
        """The same under another name."""

        name = "fold-layer-scale"

    changed = tuple(Slow() if step.name == "fold-layer-scale" else step for step in PIPELINE)
    monkeypatch.setattr(pipeline, "PIPELINE", changed)
    said = efcompile("check", saved, "--budget", 3)
    assert said.code == 1, said.out + said.err
    assert re.search(r"regression: \d\.\d+ of the report's, beyond the noise", said.out)
    said = efcompile("check", saved, "--budget", 3, "--json")
    document = json.loads(said.out)
    assert (said.code, document["verdict"], document["attempts"]) == (1, "slower", 3)
    assert document["fresh"]["low"] > document["saved"]["high"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("compiled.report(device='local')", "cannot be run again from here: make a report"),
        (f"efcompile report {SMALL} --warp 9", "does not understand (No such option: --warp"),
        (f"efcompile report {SMALL} --device qemu", "qemu: "),
    ],
)
def test_what_cannot_be_made_again_is_refused(
    saved: Path, tmp_path: Path, command: str, words: str
) -> None:
    path = tmp_path / "report.json"
    write_report(read_report(saved).model_copy(update={"command": command}), path)
    assert words in refused("check", path)


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    assert "cannot read the report" in refused("check", tmp_path / "none.json")
