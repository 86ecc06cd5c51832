"""`efcompile diff`: tables, the culprit, exit codes, files, refusals."""

import shutil
from pathlib import Path

import pytest

from efcompile.passes import pipeline
from efcompile.report.divergence import Divergence
from tests.cli.command import SMALL, efcompile, refused
from tests.report.planted import spoilt_pipeline

PASSES = "fold-batchnorm,cancel-reshapes,fuse-epilogue"


def test_it_shows_both_sides_and_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "new" / "d.json"
    said = efcompile("diff", SMALL, "--passes", PASSES, "--json", path, "--bisect")
    assert said.code == 0, said.err
    found = Divergence.model_validate_json(path.read_text())
    assert (found.device, found.model, found.tolerance) == ("local", "small", 1e-4)
    assert found.bisection is not None and found.bisection.compiled is None
    for words in (
        *PASSES.split(","),
        *(row.name for row in found.nodes),
        "on local",
        "without a counterpart: ",
        "bisect in eager PyTorch: within 1e-04",
        "bisect compiled, on local: within 1e-04",
    ):
        assert words in said.out
    assert "past" not in said.out and "\x1b" not in said.out
    assert "building stages [5/5] fuse-epilogue" in said.err


def test_a_planted_weight_is_named_and_the_exit_code_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planted = spoilt_pipeline(module="stem")
    monkeypatch.setattr(pipeline, "PIPELINE", planted)
    said = efcompile("diff", SMALL, "--passes", PASSES, "--bisect")
    assert said.code == 1, said.err
    lines = [line for line in said.out.splitlines() if line.startswith("bisect")]
    assert len(lines) == 2
    for line in lines:
        assert "pass fold-batchnorm is the first past 1e-04" in line
        assert "from stem, norm, which reads stem_weight" in line
    # Every stage from there on is marked.
    marked = [line.split()[0] for line in said.out.splitlines() if line.rstrip().endswith("past")]
    assert marked[0] == "fold-batchnorm" and "captured" not in marked


@pytest.mark.skipif(not shutil.which("qemu-aarch64"), reason="apt-get install qemu-user")
def test_a_planted_weight_in_whole_stages_under_emulation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ziglang", reason="pip install 'efcompile[cross]'")
    monkeypatch.setattr(pipeline, "PIPELINE", spoilt_pipeline(module="stem"))
    options = ("--target", "arm64", "--passes", PASSES, "--bisect", "--json", tmp_path / "d")
    said = efcompile("diff", SMALL, *options)
    assert said.code == 1, said.err
    assert "bisect compiled, on qemu: pass fold-batchnorm is the first" in said.out
    found = Divergence.model_validate_json((tmp_path / "d").read_text())
    wrong = {row.name for row in found.stages if row.compiled and row.compiled.relative > 1e-4}
    assert wrong == {row.name for row in found.stages} - {"captured"}
    assert all(row.kernel and row.kernel.relative < 1e-5 for row in found.nodes)


def test_for_what_nothing_here_runs_the_graphs_are_compared() -> None:
    said = efcompile("diff", SMALL, "--target", "iphone12", "--passes", PASSES, "--bisect")
    assert said.code == 0, said.err
    assert "eager PyTorch only: no device here runs its code" in said.err
    assert "not compiled: no device here" in said.out and "on local" not in said.out
    assert "bisect compiled" not in said.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--device", "lokal"), "did you mean `local`"),
        (("--target", "iphone12", "--device", "local"), "local: code for aarch64-apple-ios16.0"),
        (("--tolerance", "0"), "--tolerance must be above zero, not 0"),
        (("--passes", "fold-batchnorms"), "did you mean 'fold-batchnorm'"),
    ],
)
def test_what_cannot_be_is_refused_before_the_work(options: tuple[str, ...], words: str) -> None:
    assert words in refused("diff", SMALL, *options)
