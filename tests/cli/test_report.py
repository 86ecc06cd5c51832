"""`efcompile report`: tables, files, progress, refusals."""

import json
import shutil
from pathlib import Path

import pytest

from efcompile.report.schema import read_report
from tests.cli.command import SMALL, efcompile, refused

PASSES = "fold-batchnorm,fold-layer-scale,legalise,cancel-reshapes"


def test_it_prints_the_ledger_and_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    said = efcompile("report", SMALL, "--passes", PASSES, "--budget", 5, "--json", path)
    assert said.code == 0, said.err
    report = read_report(path)
    names = [row.name for row in report.ledger.rows]
    assert names == ["captured", *PASSES.split(",")]
    assert (
        report.command == f"efcompile report {SMALL} --passes {PASSES} --budget 5.0 --json {path}"
    )
    for words in (*names, "same program", "95 % interval", "all passes together"):
        assert words in said.out
    # Not a terminal: lines instead of bars, and few of them for many rounds.
    for words in (
        "running passes [1/4] fold-batchnorm",
        "building stages [5/5] cancel-reshapes",
        "measuring [100/100] round",
    ):
        assert words in said.err
    assert said.err.count("measuring") == 5 and "profiling [2/2]" in said.err
    assert "\x1b" not in said.out + said.err


def test_leave_one_out_and_threads(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    options = ("--threads", 2, "--leave-one-out", "--json", path, "--batch", 2)
    said = efcompile("report", SMALL, "--passes", PASSES, *options)
    assert said.code == 0, said.err
    report = read_report(path)
    assert report.provenances["local"].threads == 2
    assert report.input_shapes == ((2, 3, 17, 17),)
    by_name = {row.name: row for row in report.ledger.rows}
    assert by_name["fold-batchnorm"].leave_one_out is not None
    assert by_name["legalise"].required is not None
    assert "left in" in said.out and "legalise is required: without it" in said.out


@pytest.mark.skipif(not shutil.which("qemu-aarch64"), reason="apt-get install qemu-user")
def test_instructions_under_emulation(tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="pip install 'efcompile[cross]'")
    options = ("--target", "arm64", "--device", "qemu", "--json", tmp_path / "r.json")
    said = efcompile("report", SMALL, "--passes", "fold-batchnorm", *options)
    assert said.code == 0, said.err
    assert "emulated on qemu" in said.out and "fmla" in said.out and "interval" not in said.out
    document = json.loads((tmp_path / "r.json").read_text())
    units = {row["cost"]["total"]["unit"] for row in document["ledger"]["rows"]}
    assert units == {"instructions"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--device", "lokal"), "did you mean `local`"),
        (("--target", "iphone12"), "local: code for aarch64-apple-ios16.0"),
        (("--budget", "0"), "must be a positive number of seconds"),
        (("--passes", "fold-batchnorms"), "did you mean 'fold-batchnorm'"),
    ],
)
def test_what_cannot_be_is_refused_before_the_work(options: tuple[str, ...], words: str) -> None:
    line = refused("report", SMALL, *options)
    assert words in line


@pytest.mark.skipif(not shutil.which("qemu-aarch64"), reason="apt-get install qemu-user")
def test_a_budget_for_counting_is_refused() -> None:
    options = ("--target", "arm64", "--device", "qemu", "--budget", 5)
    assert "a budget changes nothing there" in refused("report", SMALL, *options)
