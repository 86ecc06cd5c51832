"""Tuning records on the command line: every verb that compiles takes the same ones."""

from pathlib import Path

import pytest

import efcompile as package
from efcompile.cli.tuned import knobs_for
from efcompile.report.schema import read_report
from efcompile.targets.resolve import resolve
from tests.cli.command import efcompile, refused
from tests.tuned_blocks import found_for, keep, rows, tokens

MODEL = "tests.tuned_blocks:tokens"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records in which the MLP of the model is faster apart."""
    found = found_for(package.optimize(tokens(), rows(1), tuned=False), apart=1.0)
    return keep(found, tmp_path_factory.mktemp("work"), resolve("host"))


def test_optimize_says_whose_knobs_there_are(tmp_path: Path, folder: Path) -> None:
    records = ("--tuning-records", folder)
    said = efcompile("optimize", MODEL, *records, "--out", tmp_path)
    assert said.code == 0, said.err
    assert "knobs of the kernels: 1 records, 2 analytic" in said.out
    assert "split-fused" in said.out
    said = efcompile("optimize", MODEL, "--no-tuned", "--out", tmp_path / "plain")
    assert said.code == 0 and "knobs of the kernels" not in said.out


def test_reports_have_the_same_kernels_and_check_takes_them_again(
    tmp_path: Path, folder: Path
) -> None:
    path = tmp_path / "r.json"
    options = ("--tuning-records", folder, "--no-profile", "--budget", 2, "--json", path)
    said = efcompile("report", MODEL, *options)
    assert said.code == 0, said.err
    assert read_report(path).ledger.rows[-1].name == "split-fused"
    assert read_report(path).ledger.rows[-1].kernels == 3
    said = efcompile("check", path, "--budget", 2, "--slack", 5)
    assert said.code == 0, said.err


def test_diff_sees_the_split_stage(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "d.json"
    said = efcompile("diff", MODEL, "--tuning-records", folder, "--json", path)
    assert said.code == 0, said.err
    assert "split-fused" in path.read_text()


def test_notes_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arm = package.optimize(tokens(), rows(), target="arm64", tuned=False)
    folder = keep(found_for(arm), tmp_path, resolve("arm64"))
    source = knobs_for(resolve("cortex-x1"), folder, False, True)
    assert source.records == ()
    assert "none were used" in capsys.readouterr().err


def test_what_is_refused(tmp_path: Path, folder: Path) -> None:
    said = refused("optimize", MODEL, "--tuning-records", tmp_path, "--out", tmp_path)
    assert "it has none at all" in said and "efcompile tune MODEL" in said
    said = refused("report", MODEL, "--tuning-records", folder, "--no-tuned")
    assert "give one of the two" in said
    said = refused("diff", MODEL, "--emulated-records")
    assert "emulated records are of a folder" in said


def test_a_bundle_has_its_knobs(tmp_path: Path, folder: Path) -> None:
    bundle = package.optimize(tokens(), rows(1), tuning_records=folder).save(tmp_path)
    said = efcompile("profile", bundle, "--no-tuned")
    told = " ".join(said.err.replace("│", " ").split())  # of a box
    assert said.code == 2 and "a bundle has its knobs: give these where it is compiled" in told
    said = efcompile("profile", bundle, "--rounds", 4)
    assert said.code == 0, said.err
