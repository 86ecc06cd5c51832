import shutil
import subprocess

import pytest

from benchmarks.loops import Instruction
from benchmarks.pipes import CORES, Core, analyse, assembly, tool

A55, A76, X1, A14 = CORES


@pytest.fixture(scope="module", autouse=True)
def llvm() -> None:
    try:
        tool("llvm-mca")
    except SystemExit as missing:
        pytest.skip(str(missing))


def _loop(*texts: str) -> list[Instruction]:
    body = [*texts, "subs w9, w9, #1", "b.ne 0x0"]
    return [Instruction(4 * i, text) for i, text in enumerate(body)]


FMLAS = [f"fmla v{i}.4s, v30.4s, v31.s[0]" for i in range(24)]


def test_a_branch_goes_to_the_loops_start() -> None:
    assert assembly(_loop("nop")) == "start:\nnop\nsubs w9, w9, #1\nb.ne start\n"


@pytest.mark.parametrize(("core", "cycles"), [(A55, 15), (A76, 12), (X1, 6), (A14, 8)])
def test_independent_multiply_adds_fill_the_pipes(core: Core, cycles: int) -> None:
    found = analyse(_loop(*FMLAS), core)
    assert found.cycles == pytest.approx(cycles, rel=0.1)
    if core is not A55:  # in order, two instructions a cycle: the loop's own two are in the way
        assert found.binds == core.floats
        assert found.pressure[core.floats] > 0.95


@pytest.mark.parametrize("core", CORES)
def test_a_chain_waits_for_its_results(core: Core) -> None:
    found = analyse(_loop(*["fadd v0.4s, v0.4s, v1.4s"] * 24), core)
    assert found.binds == "latency"
    assert found.cycles > 40


def test_loads_bind_where_they_outnumber_their_ports() -> None:
    found = analyse(_loop(*(f"ldr q{i}, [x0, #{16 * i}]" for i in range(24))), A76)
    assert found.binds == "L"
    assert found.cycles == pytest.approx(12, rel=0.1)


def test_instructions_of_every_kind_bind_by_their_number() -> None:
    mixed = [text for i in range(8) for text in (
        f"fmla v{i}.4s, v30.4s, v31.s[0]", f"ldr q{16 + i}, [x0, #{16 * i}]",
        f"add x{1 + i}, x10, x11", f"orr x{11 + i}, x10, x9",
    )]  # fmt: skip
    assert analyse(_loop(*mixed), A76).binds == "width"


def test_an_old_llvm_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def which(name: str) -> str | None:
        return None if "-mca-" in name else f"/bin/{name}"

    def old(*args: object, **kwargs: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 0, stdout="Debian LLVM version 14.0.6\n")

    tool.cache_clear()
    monkeypatch.setattr(shutil, "which", which)
    monkeypatch.setattr(subprocess, "run", old)
    with pytest.raises(SystemExit, match="no llvm-mca of LLVM 17 or newer"):
        tool("llvm-mca")
    tool.cache_clear()
