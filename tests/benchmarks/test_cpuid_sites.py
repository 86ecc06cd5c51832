import shutil
from pathlib import Path

import pytest

from benchmarks import cpuid_sites
from benchmarks.cpuid_sites import libraries, site_list, sites
from efcompile.errors import ToolchainError
from tests.benchmarks.native_code import ASKING, on_x86, shared, symbols

pytestmark = on_x86


@pytest.fixture
def asking(tmp_path: Path) -> Path:
    return shared(tmp_path, ASKING)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "efcompile" / "cpuid-sites"


def _wanted(library: Path) -> list[int]:
    known = symbols(library)
    return sorted([known["first"], known["second"]])


def test_it_finds_the_instructions_and_not_their_bytes_elsewhere(asking: Path) -> None:
    assert sorted(sites(asking)) == _wanted(asking)


@pytest.mark.parametrize("chunk", [1, 100])
def test_lines_cut_by_the_end_of_a_chunk_are_whole(
    asking: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpuid_sites, "_CHUNK", chunk)
    assert sorted(sites(asking)) == _wanted(asking)


def test_a_library_is_searched_once_until_it_changes(
    asking: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = site_list([asking])
    lines = sorted(path.read_text().splitlines())
    assert lines == sorted(f"{address:x}\t{asking.resolve()}" for address in _wanted(asking))
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "which", lambda name: None)
        assert site_list([asking]) == path
    assert len(list(cache.iterdir())) == 2
    asking.unlink()
    shared(asking.parent, "int nothing;")
    assert site_list([asking]).read_text() == ""


def test_a_missing_or_failing_objdump_is_told(
    asking: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = asking.with_name("damaged.so")
    damaged.write_bytes(b"\x0f\xa2 is not a library")
    with pytest.raises(ToolchainError, match=r"cannot disassemble .*damaged\.so"):
        site_list([damaged])
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ToolchainError, match="apt-get install binutils"):
        site_list([asking])
    assert not cache.exists()


def test_libraries_are_those_of_the_installed_packages() -> None:
    pytest.importorskip("onnxruntime")
    found = libraries(["onnxruntime", "no-such-package"])
    assert any(path.name.startswith("libonnxruntime.so") for path in found)
    assert found == sorted(set(found)) and all(path == path.resolve() for path in found)
