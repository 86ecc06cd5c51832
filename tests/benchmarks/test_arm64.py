import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from benchmarks import arm64
from benchmarks.arm64 import best, chosen, figures, missed, parsed
from benchmarks.arm64_count import Row
from benchmarks.case import Case
from efcompile.devices.arm64_python import Arm64Python
from efcompile.devices.emulator import InstructionCounts
from tests.devices.arm64 import needs_arm64


def row(name: str, millions: int, error: float = 1e-6) -> Row:
    part = millions * 1_000_000 // 10
    counts = InstructionCounts(6 * part, part, part, part, 0, part)
    return Row(name, counts, error)


OURS, ORT, NCNN = row("ours", 90), row("ort", 120), row("ncnn", 100)
WRONG = row("mnn", 10, error=2e-3)


def test_the_best_is_the_least_that_is_right() -> None:
    assert best([OURS, ORT, NCNN, WRONG]) is NCNN
    assert best([OURS, WRONG]) is None
    assert best([OURS, row("mnn", 10, error=float("nan"))]) is None


def test_goals() -> None:
    rows = [OURS, ORT, NCNN, WRONG]
    assert missed("m", rows, None) == missed("m", rows, 90) == []
    assert missed("m", rows, 89.9) == ["m: 90.0 M instructions are above the goal of 89.9 M"]
    level = [replace(OURS, counts=NCNN.counts), ORT, NCNN]
    assert missed("m", level, 200) == ["m: 100.0 M instructions are not below ncnn's 100.0 M"]
    assert missed("m", [OURS, ORT], 90, ["ncnn"]) == ["m: not compared with ncnn"]
    assert missed("m", [OURS, WRONG], 90) == ["m: no peer to compare with"]
    wrong = [replace(OURS, error=0.5), ORT]
    assert missed("m", wrong, None) == ["m: ours differs from eager PyTorch by 5.0e-01"]


def test_goals_are_model_and_millions() -> None:
    assert parsed(["a=400", "timm:b=1.5"]) == {"a": 400, "timm:b": 1.5}
    for wrong in ("a", "=3", "a=much"):
        with pytest.raises(typer.BadParameter, match="MODEL=MILLIONS"):
            parsed([wrong])


def test_peers_are_those_there_are() -> None:
    for wrong in ("", "ort,openvino"):
        with pytest.raises(typer.BadParameter, match="choose from ort, ncnn, mnn, mnn-tanh"):
            chosen(wrong)


def test_the_table_says_who_is_best_and_who_is_wrong() -> None:
    table = figures("m", [OURS, NCNN, WRONG])
    cells = [list(column.cells) for column in table.columns]
    assert cells[0] == ["ours", "ncnn", "mnn"]
    assert cells[1] == ["90.0", "100.0", "10.0"]
    assert cells[2] == ["54.0", "60.0", "6.0"] and cells[6] == ["9.0", "10.0", "1.0"]
    assert cells[7] == ["1.000", "0.900 best", "9.000"]
    assert cells[8] == ["1.0e-06", "1.0e-06", "2.0e-03 WRONG, not counted"]


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = tmp_path / "root" / "usr" / "bin"
    root.mkdir(parents=True)
    (root / "python3").symlink_to("python3.11")
    (tmp_path / "site").mkdir()

    def peer(_case: Case, name: str, _python: Arm64Python) -> Row | None:
        if name == "ncnn":
            raise RuntimeError("no such operator")
        return {"ort": ORT, "mnn": WRONG}.get(name)

    monkeypatch.setattr(arm64, "arm64_python", lambda: Arm64Python(tmp_path))
    monkeypatch.setattr(arm64, "count_ours", lambda _case: OURS)
    monkeypatch.setattr(arm64, "count_peer", peer)
    monkeypatch.setattr("benchmarks.peers.peer.Peer.missing", lambda _self: ())


def _run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(arm64.main)
    done = CliRunner().invoke(app, ["tests.small:Small", *arguments])
    return done.exit_code, done.output


@needs_arm64
def test_the_command_writes_everything_down(stubbed: None, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    status, _ = _run("--json", str(file))
    assert status == 0
    document = json.loads(file.read_text())
    assert document["target"] == "arm64"
    assert document["emulated"]["cpu"] == "cortex-a76" and document["emulated"]["qemu"]
    assert {"onnxruntime", "ncnn", "MNN"} <= document["provenance"]["versions"].keys()
    figure = document["figures"]["tests.small:Small"]
    assert figure["refused"] == {"ncnn": "no such operator"}
    ours, ort, mnn = figure["rows"]
    assert ours["instructions"] == {
        "total": 90_000_000,
        "fmla": 54_000_000,
        "simd": 9_000_000,
        "load": 9_000_000,
        "store": 9_000_000,
        "branch": 0,
        "other": 9_000_000,
    }
    assert (ort["ours_to_it"], ort["best_peer"], mnn["counted"]) == (0.75, True, False)


@needs_arm64
def test_a_goal_decides_the_exit_code(stubbed: None) -> None:
    goal = "tests.small:Small={}".format
    assert _run("--peers", "ort", "--goal", goal(90))[0] == 0
    assert _run("--peers", "ort", "--goal", goal(89))[0] == 1
    assert _run("--peers", "ort,ncnn", "--goal", goal(90))[0] == 1
    assert _run("--peers", "ort", "--goal", "another=90")[0] == 2
