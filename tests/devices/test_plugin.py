"""The counting plugin is built once, atomically, and says what it needs."""

from pathlib import Path

import pytest

from efcompile.devices.plugin import build_plugin
from efcompile.errors import ToolchainError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "efcompile" / "plugins"


def test_it_is_built_once_and_leaves_nothing_else(cache: Path) -> None:
    plugin = build_plugin()
    first = plugin.stat().st_mtime_ns
    assert build_plugin().stat().st_mtime_ns == first
    assert list(cache.iterdir()) == [plugin]


def test_a_missing_compiler_is_named_with_its_install_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(ToolchainError, match="apt-get install gcc"):
        build_plugin()


def test_a_failing_compiler_leaves_no_file(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv("CC", "false")
    with pytest.raises(ToolchainError, match="could not build"):
        build_plugin()
    assert list(cache.iterdir()) == []
