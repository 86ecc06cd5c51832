"""Locks: what is written is read back, applies to what it is about, and to nothing else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from efcompile.errors import ReportError
from efcompile.passes.pipeline import PIPELINE, build_pipeline
from efcompile.report import lock
from efcompile.report.document import Report
from efcompile.report.lock import (
    Decision,
    LeftOut,
    decision_of,
    find_decision,
    obey,
    read_lock,
    write_lock,
)
from efcompile.targets.resolve import resolve
from tests.report.example import measured

HOST = resolve("host")
SHAPES = [(1, 3, 224, 224)]
SLOW = LeftOut(name="fuse-mlp", reason='1.2 ms with it ("really")')


def _decision(**changes: Any) -> Decision:
    fields: dict[str, Any] = {
        "model": "l1",
        "inputs": ["1x3x224x224"],
        "target": "host",
        "cpu": HOST.cpu,
        "device": "local",
        "versions": lock.compiler_versions(),
        "gate": ["latency"],
        "threads": 1,
        "date": "2026-01-02",
        "left_out": [SLOW],
    }
    return Decision(**{**fields, **changes})


def test_what_is_written_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "efcompile.lock"
    write_lock(_decision(), path)
    assert read_lock(path) == [_decision()]
    assert find_decision(path, "l1", SHAPES, HOST) == _decision()
    assert path.read_text().startswith("# Decisions of `efcompile report --gate`")
    kept = obey(_decision(), PIPELINE, path)
    assert [step.name for step in kept] == [p.name for p in PIPELINE if p.name != "fuse-mlp"]


def test_a_file_holds_many_and_the_last_of_each(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    entries: list[dict[str, Any]] = [
        {},
        {"model": "s0"},
        {"target": "arm64", "device": "qemu"},
        {"left_out": []},
    ]
    for changes in entries:
        write_lock(_decision(**changes), path)
    assert len(read_lock(path)) == 3
    assert find_decision(path, "l1", SHAPES, HOST).left_out == []
    assert find_decision(path, "s0", SHAPES, HOST).names == ("fuse-mlp",)
    before = path.read_bytes()
    write_lock(_decision(left_out=[]), path)
    assert path.read_bytes() == before, "the order of entries is their own"


def test_times_count_more_than_instructions(tmp_path: Path) -> None:
    for device in ("qemu", "adb"):
        write_lock(_decision(device=device), tmp_path / "lock")
    assert find_decision(tmp_path / "lock", "l1", SHAPES, HOST).device == "adb"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("s0", SHAPES, HOST), r"decides on model l1, and this is s0. Gate again with"),
        (("l1", [(2, 3, 224, 224)], HOST), r"inputs 1x3x224x224, and this is 2x3x224x224"),
        (("l1", SHAPES, resolve("arm64")), r"target host, and this is arm64"),
        (("l1", SHAPES, replace(HOST, cpu="z80")), r"cpu .*, and this is z80"),
    ],
)
def test_a_lock_about_something_else_says_so(tmp_path: Path, asked: Any, words: str) -> None:
    write_lock(_decision(), tmp_path / "lock")
    with pytest.raises(ReportError, match=words):
        find_decision(tmp_path / "lock", *asked)


def test_a_lock_of_another_version_does_not_apply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    write_lock(_decision(), path)
    monkeypatch.setattr(lock, "__version__", "9.9.9")
    with pytest.raises(ReportError, match=r"versions .*efcompile 0\..*, and this is .*9\.9\.9"):
        find_decision(path, "l1", SHAPES, HOST)
    write_lock(_decision(versions=lock.compiler_versions()), path)
    assert find_decision(path, "l1", SHAPES, HOST).versions["efcompile"] == "9.9.9"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version = ", "damaged: it is not TOML"),
        ("", "no lock of version 1"),
        ("version = 2", r"it says version 2\): gate again"),
        ('version = 1\n[[decision]]\nmodel = "x"', r"damaged: decision\.0\.inputs: Field required"),
        ("version = 1\nx = 1", "damaged: x: Extra inputs"),
    ],
)
def test_what_is_no_lock_is_refused_and_not_overwritten(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "lock"
    path.write_text(text)
    with pytest.raises(ReportError, match=words):
        read_lock(path)
    with pytest.raises(ReportError, match=words):
        write_lock(_decision(), path)
    assert path.read_text() == text


def test_a_missing_lock_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"cannot read the lock .*; `efcompile report .* --gate"):
        read_lock(tmp_path / "none")


def test_what_lowering_requires_is_not_left_out() -> None:
    decision = _decision(left_out=[LeftOut(name="legalise", reason="by hand")])
    with pytest.raises(ReportError, match="leaves out legalise, without which nothing"):
        obey(decision, build_pipeline(), Path("lock"))


def test_a_decision_is_about_what_its_report_is_about() -> None:
    report: Report = measured()
    made = decision_of(report, HOST, ["latency"], [SLOW])
    where = report.provenances[report.ledger.whole.provenance]
    assert (made.model, made.device, made.threads) == (report.model, where.device, where.threads)
    assert made.inputs == ["x".join(map(str, shape)) for shape in report.input_shapes]
    assert (made.target, made.cpu, made.names) == ("host", HOST.cpu, ("fuse-mlp",))
