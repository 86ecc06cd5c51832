import os
from pathlib import Path

import pytest

from efcompile.bundle import exchange
from efcompile.bundle.exchange import put_in_place
from efcompile.errors import BundleError


def _folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "file").write_text(content)
    return path


def test_a_first_bundle_is_renamed(tmp_path: Path) -> None:
    put_in_place(_folder(tmp_path / "new", "new"), tmp_path / "final")
    assert (tmp_path / "final/file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


@pytest.mark.parametrize("atomic", [True, False])
def test_an_older_one_is_replaced_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, atomic: bool
) -> None:
    if not atomic:
        monkeypatch.setattr(exchange, "_exchange", lambda a, b: False)
    final = _folder(tmp_path / "final", "old")
    put_in_place(_folder(tmp_path / "new", "new"), final)
    assert (final / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_names_are_swapped_in_one_call(tmp_path: Path) -> None:
    a, b = _folder(tmp_path / "a", "a"), _folder(tmp_path / "b", "b")
    if not exchange._exchange(a, b):
        pytest.skip("this file system cannot exchange names")
    assert ((a / "file").read_text(), (b / "file").read_text()) == ("b", "a")


def test_the_old_one_returns_when_the_second_renaming_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "_exchange", lambda a, b: False)
    final = _folder(tmp_path / "final", "old")
    new = _folder(tmp_path / "new", "new")
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self == new:
            raise OSError(5, os.strerror(5))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(BundleError, match=r"cannot put the bundle at .*final"):
        put_in_place(new, final)
    assert (final / "file").read_text() == "old"


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    new = _folder(tmp_path / "new", "new")
    with pytest.raises(BundleError, match="cannot put the bundle at"):
        put_in_place(new, tmp_path / "absent" / "final")
