"""The program of trials: its options, its refusals, and a damaged blob."""

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efcompile.bundle.render import NATIVE
from efcompile.bundle.trials import STATUSES, Trial, TrialProgram, link_trials
from tests.bundle.native.programs import SANITIZERS, compile_c, run_program
from tests.bundle.programs import HOST
from tests.bundle.trials import c_trial, gemm_trial, given, result

QUICK = ("--seconds", "0.001")


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    folder = tmp_path_factory.mktemp("objects")
    made = [gemm_trial(HOST, folder, rows=rows) for rows in (1, 3)]
    double = "for (int i = begin; i < end; ++i) p1[i] = 2 * p0[i];"
    x = np.arange(64, dtype=np.float32)
    return [*made, c_trial(folder, 'the "third"', double, given(x), result(2 * x), tasks=64)]


@pytest.fixture(scope="module")
def program(trials: list[Trial], tmp_path_factory: pytest.TempPathFactory) -> TrialProgram:
    return link_trials(trials, HOST, tmp_path_factory.mktemp("program"))


def run(program: TrialProgram, *options: str) -> list[dict[str, Any]]:
    command: list[str | Path] = [program.executable, program.blob, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


def refused(*command: str | Path) -> str:
    done = subprocess.run([*command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    return done.stderr


def test_a_line_for_each_trial(program: TrialProgram) -> None:
    lines = run(program, *QUICK)
    assert [line["trial"] for line in lines] == [0, 1, 2]
    assert [line["name"] for line in lines] == ["gemm 1", "gemm 3", 'the "third"']
    assert all(line["error"] < 1e-5 and len(line["samples"]) >= 7 for line in lines)


@pytest.mark.parametrize("more", [(), ("--interleave",), ("--untimed",)])
@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (("--first", "1"), [1, 2]),
        (("--first", "1", "--count", "1"), [1]),
        (("--skip", "0,2"), [1]),
        (("--skip", "1"), [0, 2]),
        (("--first", "3"), []),
    ],
)
def test_some_of_the_trials(
    program: TrialProgram, options: Sequence[str], chosen: list[int], more: Sequence[str]
) -> None:
    lines = run(program, *QUICK, *options, *more)
    assert [line["trial"] for line in lines] == chosen
    assert all(line["error"] < 1e-5 for line in lines)


def test_turns_give_every_trial_as_many_samples(program: TrialProgram) -> None:
    counts = [len(line["samples"]) for line in run(program, *QUICK, "--interleave")]
    assert len(set(counts)) == 1 and counts[0] >= 7


def test_untimed_calls_have_no_samples(program: TrialProgram) -> None:
    lines = run(program, "--untimed", "--iterations", "3")
    assert [line["samples"] for line in lines] == [[], [], []]


def test_calls_are_addresses_of_code(program: TrialProgram) -> None:
    said = run_program(program.executable, program.blob, "--calls").splitlines()
    assert len(said) == 3 and len(set(said)) == 3
    assert all(re.fullmatch(r"[0-9a-f]+", line) for line in said)


def test_more_time_gives_more_samples(program: TrialProgram) -> None:
    short, long = (run(program, "--seconds", s, "--count", "1")[0] for s in ("0", "0.05"))
    assert len(short["samples"]) == 7 < len(long["samples"])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--first", "x"), "--first must be a whole number"),
        (("--seconds", "-1"), "--seconds must be a number"),
        (("--least", "0"), "--least must be a whole number from 1"),
        (("--skip", "1;2"), "--skip must be a list"),
        (("--cores", "4095"), "cannot run on cores|--cores must be"),
        (("--nonsense", "1"), "unknown option '--nonsense'"),
        (("--first",), "--first needs a value"),
    ],
)
def test_wrong_options_are_named(
    program: TrialProgram, options: Sequence[str], complaint: str
) -> None:
    assert re.search(complaint, refused(program.executable, program.blob, *options))


def test_no_blob_no_run(program: TrialProgram, tmp_path: Path) -> None:
    assert "no blob given" in refused(program.executable)
    assert "cannot open" in refused(program.executable, tmp_path / "none")


def damaged(program: TrialProgram, path: Path, at: int, value: bytes, cut: int = 0) -> Path:
    data = bytearray(program.blob.read_bytes())
    data[at : at + len(value)] = value
    path.write_bytes(data[: len(data) - cut])
    return path


# Magic, version, count, size, where trials are, id; and what a trial's record points to.
FIELDS = {"magic": 0, "version": 8, "count": 12, "size": 16, "trials": 24, "id": 32}
RECORD = {"name": 64, "parts": 72, "steps": 80, "part count": 88, "step count": 92}


@pytest.mark.parametrize("field", [*FIELDS, *RECORD])
def test_a_damaged_blob_is_one_clear_error(
    program: TrialProgram, tmp_path: Path, field: str
) -> None:
    at = (FIELDS | RECORD)[field]
    bad = damaged(program, tmp_path / "bad", at, b"\x7f\xff\xff\x7f")
    assert STATUSES[-2] in refused(program.executable, bad)


@pytest.mark.parametrize("cut", [1, 64, 10_000])
def test_a_truncated_blob_is_one_clear_error(
    program: TrialProgram, tmp_path: Path, cut: int
) -> None:
    bad = damaged(program, tmp_path / "bad", 0, b"", cut)
    assert STATUSES[-2] in refused(program.executable, bad)


def test_another_programs_blob_is_refused(
    program: TrialProgram, trials: list[Trial], tmp_path: Path
) -> None:
    other = link_trials(trials[:1], HOST, tmp_path)
    assert STATUSES[-2] in refused(program.executable, other.blob)


def test_texts_are_the_same_in_python() -> None:
    text = (NATIVE / "ef_trial_main.c").read_text()
    header = (NATIVE / "ef_trial.h").read_text()
    codes = {name: int(code) for name, code in re.findall(r"(EF_TRIAL_\w+) = (-?\d+)", header)}
    said = dict(re.findall(r'case (EF_TRIAL_\w+): return "(.*)";', text))
    assert {codes[name]: words for name, words in said.items() if codes[name]} == STATUSES


def test_it_is_clean_under_sanitizers(trials: list[Trial], tmp_path: Path) -> None:
    program = link_trials(trials, HOST, tmp_path)
    sources = [NATIVE / f"{s}.c" for s in ("ef_trial_main", "ef_trial", "ef_trial_blob", "ef_pool")]
    code = [tmp_path / "ef_trial_table.c", *sorted(tmp_path.glob("ef_k*.o"))]
    flags = [*SANITIZERS["address"], *SANITIZERS["undefined"]]
    checked = compile_c([*sources, *code], tmp_path / "checked", *flags)
    for more in ((), ("--interleave",)):
        options = (*QUICK, "--threads", "2", "--rotate", "100000", *more)
        assert run_program(checked, program.blob, *options).count('"error"') == 3
