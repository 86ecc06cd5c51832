import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import avx2_host
from benchmarks.avx2_host import NATIVE, Isa, environment, has_avx512, held_to
from benchmarks.peers.registry import PEERS
from efcompile.errors import DeviceError
from efcompile.targets.resolve import resolve
from tests.benchmarks.native_code import ASKING, on_x86, shared, with_avx512

pytestmark = on_x86
ROOT = Path(__file__).parents[2]
SMALL = "tests.small:Small"

_ASK = """
import ctypes, json, sys
library = ctypes.CDLL(sys.argv[1])
registers = (ctypes.c_uint * 4)()
answers = {}
for leaf, sub in [(0, 0), (1, 0), (7, 0), (7, 1), (13, 0), (36, 0)]:
    library.ask(leaf, sub, registers)
    answers[f"{leaf}.{sub}"] = list(registers)
answers["at load"] = ctypes.c_uint.in_dll(library, "found_at_load").value
print(json.dumps(answers))
"""
_AVX2, _AVX512F = 1 << 5, 1 << 16
_AVX512_OF_7 = 0xDC230000


@pytest.fixture
def asking(tmp_path: Path) -> Path:
    return shared(tmp_path, ASKING)


def _python(
    code: str, library: Path, env: dict[str, str] | None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, str(library)]
    return subprocess.run(command, capture_output=True, text=True, env=env)


@with_avx512
def test_a_library_sees_a_cpu_with_avx2_and_nothing_wider(asking: Path) -> None:
    plain = json.loads(_python(_ASK, asking, None).stdout)
    held = json.loads(_python(_ASK, asking, environment([asking], os.environ)).stdout)
    assert plain["7.0"][1] & _AVX512F and plain["at load"] & _AVX512F
    assert held["7.0"][1] == plain["7.0"][1] & ~_AVX512_OF_7
    # Before any code of the library ran.
    assert held["at load"] == held["7.0"][1] and held["at load"] & _AVX2
    assert held["13.0"][0] == plain["13.0"][0] & ~0x600E0
    assert held["36.0"] == [0, 0, 0, 0]
    assert held["0.0"] == plain["0.0"]
    assert held["1.0"][2:] == plain["1.0"][2:]  # the others name the core it runs on


@with_avx512
def test_a_changed_library_is_told(asking: Path, tmp_path: Path) -> None:
    env = environment([asking], os.environ)
    sites = tmp_path / "sites.txt"
    address, tab, path = (
        Path(env["EFCOMPILE_CPUID_SITES"]).read_text().splitlines()[0].partition("\t")
    )
    sites.write_text(f"{int(address, 16) + 1:x}{tab}{path}\n")
    done = _python(_ASK, asking, env | {"EFCOMPILE_CPUID_SITES": str(sites)})
    assert done.returncode == 3 and not done.stdout
    assert f"{asking.resolve()} is not the file" in done.stderr and str(sites) in done.stderr
    done = _python(_ASK, asking, env | {"EFCOMPILE_CPUID_SITES": str(tmp_path / "none.txt")})
    assert done.returncode == 3 and "EFCOMPILE_CPUID_SITES does not name" in done.stderr


def test_other_illegal_instructions_end_the_process(asking: Path) -> None:
    code = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).trap()"
    done = _python(code, asking, environment([asking], os.environ))
    assert done.returncode == -signal.SIGILL


def test_the_environment_is_that_of_the_user_and_stays(asking: Path) -> None:
    env = environment([asking], {"HOME": "/h", "GLIBC_TUNABLES": "a=b", "LD_AUDIT": "/other.so"})
    assert env["HOME"] == "/h"
    assert env["GLIBC_TUNABLES"].startswith("a=b:glibc.cpu.hwcaps=-AVX512F")
    assert env["LD_AUDIT"].startswith("/other.so:")
    assert environment([asking], env) == env


def test_nothing_is_held_where_there_is_nothing_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    assert held_to(Isa.NATIVE, PEERS.values()) is NATIVE
    assert NATIVE.target == resolve("host")
    monkeypatch.setattr(avx2_host, "has_avx512", lambda: False)
    host = held_to(Isa.AVX2, PEERS.values())
    assert host.target.vector_bits == 256 and not host.held
    assert "no AVX-512" in host.how


def test_other_machines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(SystemExit, match=r"--isa avx2: .* this machine is aarch64"):
        held_to(Isa.AVX2, [])


def test_an_old_c_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.31"))
    with pytest.raises(DeviceError, match=r"needs glibc 2\.35 or newer and here is glibc 2\.31"):
        environment([], {})


def _command(name: str, *arguments: str) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / name), "--isa", "avx2", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "our code for x86-64-v3" in done.stdout


def _is_held(where: dict[str, str], sampled: dict[str, int], contestants: set[str]) -> None:
    assert where["isa"] == "x86-64-v3"
    if has_avx512():
        assert set(sampled) == contestants and min(sampled.values()) >= 100
        assert "hidden from the" in where["held"]
    else:
        assert "no AVX-512" in where["held"]


def test_compare_runs_again_with_everyone_held(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    file = tmp_path / "figures.json"
    _command("compare.py", "--peers", "ort", "--rounds", "5", SMALL, "--json", str(file))
    document = json.loads(file.read_text())
    (figure,) = document["figures"]
    assert set(figure["ms"]) == {"ours", "ort"} and figure["refused"] == {}
    _is_held(document["provenance"], figure["sampled"], {"ours", "ort"})


def test_kernels_has_bounds_of_avx2(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    _command("kernels.py", "--rounds", "3", SMALL, "--json", str(file))
    document = json.loads(file.read_text())
    (model,) = document["models"]
    assert document["machine"]["lanes"] == 8
    _is_held(document["provenance"], {"ours": model["sampled"]}, {"ours"})
