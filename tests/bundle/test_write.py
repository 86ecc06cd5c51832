import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from efcompile.bundle import write as writing
from efcompile.bundle.build import Part
from efcompile.bundle.exchange import put_in_place
from efcompile.bundle.load import Bundle, load_bundle
from efcompile.bundle.write import copy_bundle, write_bundle
from efcompile.errors import BundleError
from tests.bundle.programs import tiny_program

SMALL: list[Part] = ["archive"]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_same_program_makes_the_same_bytes(tmp_path: Path) -> None:
    first = write_bundle(tiny_program(), tmp_path / "a")
    second = write_bundle(tiny_program(), tmp_path / "b")
    assert _names(first) == _names(second)
    for name in _names(first):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_a_new_bundle_replaces_the_old(tmp_path: Path) -> None:
    first = load_bundle(write_bundle(tiny_program(), tmp_path, parts=SMALL))
    second = load_bundle(write_bundle(tiny_program(factor=3), tmp_path, parts=SMALL))
    assert first.path == second.path
    assert first.manifest.build_id != second.manifest.build_id
    assert _names(tmp_path) == [second.path.name]


def test_attachments_are_files_like_the_others(tmp_path: Path) -> None:
    path = write_bundle(tiny_program(), tmp_path, parts=SMALL, attachments={"note.txt": b"hello"})
    bundle = load_bundle(path)
    assert bundle.file("note.txt").read_bytes() == b"hello"
    bundle.file("note.txt").write_bytes(b"hullo")
    with pytest.raises(BundleError, match=r"note\.txt is damaged"):
        load_bundle(path)


def test_a_copy_is_the_same_bundle(host_bundle: Bundle, tmp_path: Path) -> None:
    copied = load_bundle(copy_bundle(host_bundle.path, tmp_path))
    assert copied.path == tmp_path / host_bundle.path.name
    assert copied.manifest == host_bundle.manifest
    assert copied.file("bench").stat().st_mode == host_bundle.file("bench").stat().st_mode


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("older", [False, True])
def test_an_interrupted_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, older: bool
) -> None:
    """Interrupted before each of the four files and before the renaming."""
    before = write_bundle(tiny_program(), tmp_path, parts=SMALL) if older else None
    steps = iter(range(5))

    def interrupt() -> None:
        if next(steps) == at:
            raise KeyboardInterrupt

    write = writing._write

    def interrupted_write(data: bytes, target: Path) -> object:
        interrupt()
        return write(data, target)

    def interrupted_place(folder: Path, final: Path) -> None:
        interrupt()
        put_in_place(folder, final)

    monkeypatch.setattr(writing, "_write", interrupted_write)
    monkeypatch.setattr(writing, "put_in_place", interrupted_place)
    build_id = load_bundle(before).manifest.build_id if before else None
    with pytest.raises(KeyboardInterrupt):
        write_bundle(tiny_program(factor=3), tmp_path, parts=SMALL)
    assert next(steps, None) == (at + 1 if at < 4 else None)
    assert _names(tmp_path) == ([before.name] if before else [])
    if before:
        assert load_bundle(before).manifest.build_id == build_id


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for one bundle and a half."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"mounting a small tmpfs is not permitted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_names_the_file_and_keeps_the_old_bundle(small_disk: Path) -> None:
    old = load_bundle(write_bundle(tiny_program(), small_disk, parts=SMALL))
    with pytest.raises(BundleError, match=r"cannot write .*/[\w.]+: No space left.*make room"):
        write_bundle(tiny_program(factor=3), small_disk, parts=SMALL)
    assert _names(small_disk) == [old.path.name]
    assert load_bundle(old.path).manifest == old.manifest


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="choose another folder"):
        write_bundle(tiny_program(), tmp_path / "file", parts=SMALL)
