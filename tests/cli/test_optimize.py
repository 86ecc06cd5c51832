"""`efcompile optimize`: what it prints where, and what it refuses."""

import json
import re
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

import efcompile as package
from efcompile import compiler
from efcompile.bundle import toolchain
from efcompile.lowering.lower import lower
from efcompile.lowering.program import Program
from tests.cli.command import SMALL, Said, efcompile, refused
from tests.small import image, small


def test_the_last_line_is_a_bundle_that_computes_the_model(optimized: Said, bundle: Path) -> None:
    assert bundle.name == "small.host.fp32.b1x17"
    with torch.no_grad():
        wanted = small()(image())
    assert torch.allclose(package.load(bundle)(image()), wanted, atol=1e-4)


def test_results_go_to_stdout_and_the_way_there_to_stderr(optimized: Said) -> None:
    for words in ("target host: ", "fold-batchnorm", "parity with eager", "eager PyTorch", "arena"):
        assert words in optimized.out
        assert words == "fold-batchnorm" or words not in optimized.err
    assert f"weights as {SMALL} made them" in optimized.err
    # Not a terminal: a line per step, no bar.
    assert re.search(r"^\[3/\d+\] fold-batchnorm$", optimized.err, re.MULTILINE)
    assert "\x1b" not in optimized.out + optimized.err


def test_json_is_one_document_and_all_there_is_on_stdout(tmp_path: Path) -> None:
    said = efcompile("optimize", SMALL, "--out", tmp_path, "--batch", 2, "--json")
    document: dict[str, Any] = json.loads(said.out)
    assert Path(document["bundle"]) == tmp_path / "small.host.fp32.b2x17"
    assert document["relative_error"] < 1e-4
    assert document["times_ns"]["ours"] > 0 and document["times_ns"]["eager"] > 0
    assert document["leftovers"] == []
    by_name = {entry["pass"]: entry for entry in document["passes"]}
    assert len(by_name["fold-batchnorm"]["rewritten"]) == 1
    assert by_name["fold-batchnorm"]["nodes_after"] < by_name["fold-batchnorm"]["nodes_before"]


def test_a_pass_can_be_left_out_and_a_graph_printed(tmp_path: Path) -> None:
    options = ("--disable-pass", "fold-batchnorm", "--print-after", "cancel-reshapes", "--json")
    said = efcompile("optimize", SMALL, "--out", tmp_path, *options)
    passes = [entry["pass"] for entry in json.loads(said.out)["passes"]]
    assert "legalise" in passes and "fold-batchnorm" not in passes
    printed = said.err.partition("after cancel-reshapes:\n")[2]
    assert "efcompile.affine.default" in printed and "# norm" in printed


def test_a_graph_after_a_pass_that_does_not_run_is_refused(tmp_path: Path) -> None:
    options = ("--disable-pass", "fuse-ffn", "--print-after", "fuse-ffn")
    line = refused("optimize", SMALL, "--out", tmp_path, *options)
    assert "cannot print the graph after fuse-ffn: it is not to run" in line


def test_only_the_passes_asked_for_run(tmp_path: Path) -> None:
    options = ("--passes", "fold-batchnorm,legalise", "--resolution", 21, "--json")
    said = efcompile("optimize", SMALL, "--out", tmp_path, *options)
    document = json.loads(said.out)
    assert [entry["pass"] for entry in document["passes"]] == ["fold-batchnorm", "legalise"]
    assert document["bundle"].endswith("b1x21")


def test_code_for_elsewhere_says_how_to_check_it(tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="pip install 'efcompile[cross]'")
    said = efcompile("optimize", SMALL, "--target", "arm64", "--out", tmp_path)
    bundle = Path(said.out.splitlines()[-1])
    assert bundle == tmp_path / "small.arm64.fp32.b1x17"
    assert f"efcompile bench {bundle} --device qemu" in said.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("efficientformer_l2",), r"'efficientformer_l2'; did you mean efficientformer_l"),
        ((f"{SMALL}er",), "did you mean small"),
        ((SMALL, "--target", "arm46"), "did you mean `arm64`"),
        ((SMALL, "--target", "arm64", "--cpu", "cortex-a67"), "did you mean `cortex-a"),
        ((SMALL, "--target", "arm64", "--mattr", "+dotprot"), "did you mean `dotprod`"),
        ((SMALL, "--disable-pass", "fold-batchnorms"), "did you mean .*fold-batchnorm"),
        ((SMALL, "--passes", "legalize"), "did you mean .*legalise"),
        ((SMALL, "--print-after", "fuse-fnn"), "did you mean .*fuse-ffn"),
    ],
)
def test_wrong_names_suggest_the_nearest(
    arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    assert re.search(words, refused("optimize", *arguments, "--out", tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not find_spec("timm"), reason="pip install 'efcompile[timm]'")
def test_a_wrong_timm_name_suggests_the_nearest() -> None:
    assert "did you mean levit_256" in refused("optimize", "timm:levit_265")


def test_a_checkpoint_is_loaded(tmp_path: Path) -> None:
    weights = small().state_dict() | {"head.bias": torch.full((6,), 3.0)}
    torch.save(weights, tmp_path / "w.pth")
    options = ("--checkpoint", tmp_path / "w.pth", "--out", tmp_path)
    said = efcompile("optimize", SMALL, *options)
    assert f"weights of {tmp_path / 'w.pth'}" in said.err
    other = package.load(said.out.splitlines()[-1])(image())
    model = small()
    model.load_state_dict(weights)
    with torch.no_grad():
        assert torch.allclose(other, model(image()), atol=1e-4)


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(3, 4).state_dict(), tmp_path / "w.pth")
    said = efcompile("optimize", SMALL, "--checkpoint", tmp_path / "w.pth", "--out", tmp_path)
    assert said.code == 1
    assert "does not fit Small" in said.err and "missing: stem.weight" in said.err


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    whole, cut = tmp_path / "w.pth", tmp_path / "cut.pth"
    torch.save(small().state_dict(), whole)
    cut.write_bytes(whole.read_bytes()[:-200])
    line = refused("optimize", SMALL, "--checkpoint", cut, "--out", tmp_path)
    assert f"{cut} is truncated" in line


def test_a_data_dependent_model_is_refused_with_the_place(tmp_path: Path) -> None:
    line = refused("optimize", "tests.small:branching", "--out", tmp_path)
    assert "CaptureError" in line and "small.py" in line and "x.sum()" in line


def test_a_missing_cross_linker_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolchain, "_zig_home", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(compiler, "compile_model", lambda *_: pytest.fail("it compiled"))
    line = refused("optimize", SMALL, "--target", "arm64", "--out", tmp_path)
    assert "pip install 'efcompile[cross]'" in line


def test_a_wrong_result_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*arguments: Any) -> Program:
        right = lower(*arguments)
        return replace(right, constants={k: v * 1.01 for k, v in right.constants.items()})

    monkeypatch.setattr(compiler, "lower", wrong)
    line = refused("optimize", SMALL, "--out", tmp_path)
    assert "ParityError" in line and "differs from eager PyTorch" in line


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = refused("optimize", SMALL, "--out", tmp_path / "file")
    assert f"cannot write {tmp_path / 'file'}" in line
