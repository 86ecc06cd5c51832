import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks import arm64_python as module
from benchmarks.arm64_python import Arm64Python, arm64_python
from efcompile.errors import ToolchainError
from tests.devices.arm64 import needs_arm64


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "efcompile" / "arm64-python"


def _fake(folder: Path, _apt: Path) -> None:
    programs = folder / "root" / "usr" / "bin"
    programs.mkdir(parents=True)
    (programs / "python3").symlink_to("python3.11")
    about = folder / "site" / "ncnn-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Name: ncnn\nVersion: 1.0\n")


def test_it_is_made_once_and_says_what_is_in_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_fill", _fake)
    python = arm64_python()
    monkeypatch.setattr(module, "_fill", _interrupted)
    assert arm64_python() == python
    assert list(cache.iterdir()) == [python.folder]
    assert python.versions() == {"python": "3.11", "ncnn": "1.0"}
    monkeypatch.setattr(module, "WHEELS", ("numpy==2.5",))
    with pytest.raises(KeyboardInterrupt):  # other wheels are another environment
        arm64_python()


def _interrupted(folder: Path, apt: Path) -> None:
    _fake(folder, apt)
    raise KeyboardInterrupt


def test_an_interrupted_preparation_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_fill", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        arm64_python()
    assert list(cache.iterdir()) == []


def test_of_two_processes_the_first_wins(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(folder: Path, apt: Path) -> None:
        _fake(folder, apt)
        _fake(cache / module._key(), apt)
        (cache / module._key() / "first").touch()

    monkeypatch.setattr(module, "_fill", slow)
    assert (arm64_python().folder / "first").exists()
    assert len(list(cache.iterdir())) == 1


@pytest.mark.skipif(shutil.which("apt-config") is None, reason="Debian only")
def test_apt_keeps_to_its_folder_and_to_arm64(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    conf.write_text(module._APT.format(apt=tmp_path))
    command = ["apt-config", "-c", str(conf), "dump"]
    dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f'Dir::State "{tmp_path}/state";' in dump and f'Dir::Cache "{tmp_path}/cache";' in dump
    lines = dump.splitlines()
    assert [x for x in lines if x.startswith("APT::Architectures::")] == [
        'APT::Architectures:: "arm64";'
    ]
    assert not [x for x in lines if "Invoke" in x and "Update" in x and not x.endswith('"";')]


def test_a_tool_that_is_missing_or_fails_is_named() -> None:
    with pytest.raises(ToolchainError, match=r"no-such-tool is missing.*Debian"):
        module._do("no-such-tool")
    with pytest.raises(ToolchainError, match=r"(?s)arm64 packages\): sh -c .*out of luck"):
        module._do("sh", "-c", "echo out of luck >&2; exit 1")


def test_the_environment_is_fixed() -> None:
    options = [str(option) for option in Arm64Python(Path("/e"))._options()]
    assert options[:2] == ["-L", "/e/root"]
    assert options[2::2] == ["-E"] * len(options[2::2])
    assert {"PYTHONHASHSEED=0", "PYTHONPATH=/e/site", "OMP_NUM_THREADS=1"} <= set(options)


@pytest.mark.parity  # downloads on first use
@needs_arm64
def test_it_runs_python_on_arm64_and_starting_costs_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    python = arm64_python()
    said = python.run(["-c", "import platform; print(platform.machine())"], cpu="cortex-a76")
    assert said.strip() == "aarch64"
    first, again = (python.count(["-c", "import ncnn"], cpu="cortex-a76") for _ in range(2))
    assert abs(first.total - again.total) < 1e-3 * first.total
