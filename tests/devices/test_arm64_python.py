import shutil
import subprocess
from pathlib import Path

import pytest

from efcompile.devices import arm64_python as module
from efcompile.devices.arm64_python import Arm64Python, arm64_python, folder_for
from efcompile.errors import ToolchainError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "efcompile" / "arm64-python"


WANTED = (("ncnn==1.0",), "import ncnn")


def _fake(folder: Path, _apt: Path, _wheels: object, _tried: str) -> None:
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
    python = arm64_python(*WANTED)
    monkeypatch.setattr(module, "_fill", _interrupted)
    assert arm64_python(*WANTED) == python
    assert list(cache.iterdir()) == [python.folder]
    assert python.versions() == {"python": "3.11", "ncnn": "1.0"}
    with pytest.raises(KeyboardInterrupt):  # other wheels are another environment
        arm64_python(("numpy==2.5",), WANTED[1])
    with pytest.raises(KeyboardInterrupt):  # and so is what was tried in it
        arm64_python(WANTED[0], "import numpy")


def _interrupted(folder: Path, apt: Path, wheels: object, tried: str) -> None:
    _fake(folder, apt, wheels, tried)
    raise KeyboardInterrupt


def test_an_interrupted_preparation_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_fill", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        arm64_python(*WANTED)
    assert list(cache.iterdir()) == []


def test_of_two_processes_the_first_wins(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(folder: Path, apt: Path, wheels: object, tried: str) -> None:
        _fake(folder, apt, wheels, tried)
        _fake(folder_for(*WANTED), apt, wheels, tried)
        (folder_for(*WANTED) / "first").touch()

    monkeypatch.setattr(module, "_fill", slow)
    assert (arm64_python(*WANTED).folder / "first").exists()
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


def test_a_download_that_hangs_is_given_up() -> None:
    with pytest.raises(ToolchainError, match=r"sleep did not end within 0.1 s: check the network"):
        module._do("sleep", "30", timeout=0.1)


def test_the_environment_is_fixed() -> None:
    options = [str(option) for option in Arm64Python(Path("/e")).options(MORE="1")]
    assert options[:2] == ["-L", "/e/root"]
    assert options[2::2] == ["-E"] * len(options[2::2])
    assert {"PYTHONHASHSEED=0", "PYTHONPATH=/e/site", "OMP_NUM_THREADS=1", "MORE=1"} <= set(options)
