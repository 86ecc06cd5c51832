"""Candidates are compiled in children: what kills one kills no other."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from efcompile.kernels import gemm
from efcompile.kernels.kernel import Built, Kernel
from efcompile.targets.resolve import resolve
from efcompile.tuning.compile import Compiled, Job, compile_all

HOST = resolve("host")
SHAPE = gemm.Shape(1, 12, 32, 8, bias=True, residual=False, act="relu")


def job(build: Any = gemm.build) -> Job:
    kernel = Kernel(
        "gemm", "linear", gemm.shape_of, gemm.plain, gemm.default_knobs, gemm.pack, build
    )
    return Job(kernel, SHAPE, HOST, gemm.default_knobs(SHAPE, HOST))


def crashes(*_: Any) -> Built:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def hangs(*_: Any) -> Built:
    while True:
        time.sleep(1)


def refuses(*_: Any) -> Built:
    raise ValueError("no such tile")


def test_each_candidate_gets_its_object_or_its_reason(tmp_path: Path) -> None:
    jobs = [job(), job(crashes), job(hangs), job(refuses), job()]
    folders = [tmp_path / str(i) for i in range(len(jobs))]
    made, crashed, hung, refused, again = compile_all(jobs, folders, timeout=3)
    assert crashed == "compiling it was ended by signal 11 (SIGSEGV)"
    assert hung == "compiling it did not end within 3 s"
    assert refused == "compiling it failed: ValueError: no such tile"
    built = gemm.build("x", SHAPE, HOST, jobs[0].knobs)
    for found, folder in ((made, folders[0]), (again, folders[4])):
        assert isinstance(found, Compiled)
        assert found == Compiled.read(folder)
        assert (found.tasks, found.scratch_bytes) == (built.tasks, built.scratch_bytes)
        assert found.object.read_bytes()[:4] == b"\x7fELF"
        assert found.symbol.encode() in found.object.read_bytes()


def test_no_child_is_left_when_the_tuner_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forked: list[int] = []
    fork = os.fork

    def noting() -> int:
        process = fork()
        forked.append(process)
        return process

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fork", noting)
    monkeypatch.setattr("efcompile.tuning.compile.time.sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        compile_all([job(hangs)], [tmp_path / "0"])
    assert forked
    for process in forked:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
