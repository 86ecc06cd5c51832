"""The folder of compiled kernels: whole entries or none, whoever else is at it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from efcompile.bundle.object_cache import ObjectCache, user_cache

KEY, OTHER = "0a" * 32, "0b" * 32


@pytest.fixture
def cache(tmp_path: Path) -> ObjectCache:
    return ObjectCache(tmp_path / "cache")


def _entry(cache: ObjectCache) -> Path:
    (path,) = cache.folder.iterdir()
    return path


def test_what_was_put_is_got_and_nothing_else(cache: ObjectCache) -> None:
    assert cache.get(KEY) is None
    cache.put(KEY, b"code")
    assert cache.get(KEY) == b"code"
    assert cache.get(OTHER) is None
    assert cache.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("keep", [0, 7, 20, 43])
def test_a_truncated_entry_is_not_trusted(cache: ObjectCache, keep: int) -> None:
    cache.put(KEY, b"code")
    path = _entry(cache)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.warns(UserWarning, match="is damaged"):
        assert cache.get(KEY) is None
    cache.put(KEY, b"code")
    assert cache.get(KEY) == b"code"


@pytest.mark.parametrize("position", [0, 8, 39, 40, 43])
def test_a_flipped_bit_is_noticed_wherever_it_is(cache: ObjectCache, position: int) -> None:
    cache.put(KEY, b"code")
    path = _entry(cache)
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="is damaged"):
        assert cache.get(KEY) is None


def test_a_write_that_fails_leaves_nothing_behind(
    cache: ObjectCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        cache.put(KEY, b"code")
    assert list(cache.folder.iterdir()) == []


def test_the_entries_longest_unused_go_first(cache: ObjectCache) -> None:
    keys = [f"{i:064x}" for i in range(4)]
    for age, key in enumerate(keys):
        cache.put(key, bytes(100))
        os.utime(cache.folder / f"{key}.object", (time.time() - 100 + age,) * 2)
    cache.get(keys[0])  # the oldest is used again
    size = (cache.folder / f"{keys[0]}.object").stat().st_size
    ObjectCache(cache.folder, limit_bytes=2 * size).prune()
    assert [key for key in keys if cache.get(key)] == [keys[0], keys[3]]


def test_what_a_crashed_process_left_goes_but_not_what_one_is_writing(cache: ObjectCache) -> None:
    cache.put(KEY, b"code")
    old, new = cache.folder / f".{KEY}.aaaaaaaa", cache.folder / f".{OTHER}.bbbbbbbb"
    for path in (old, new):
        path.write_bytes(b"half an ob")
    os.utime(old, (time.time() - 7200,) * 2)
    cache.prune()
    assert not old.exists() and new.exists()
    assert cache.get(KEY) == b"code"


_WRITER = """
import sys
from pathlib import Path
from efcompile.bundle.object_cache import ObjectCache
cache = ObjectCache(Path(sys.argv[1]), limit_bytes=60_000)
keys = [f"{i:064x}" for i in range(8)]
body = {key: bytes([i]) * 10_000 for i, key in enumerate(keys)}
for round in range(100):
    for key in keys:
        found = cache.get(key)
        assert found in (None, body[key]), "half an entry"
        if found is None:
            cache.put(key, body[key])
    cache.prune()
print("done")
"""


def test_processes_share_a_folder_while_they_write_and_prune(cache: ObjectCache) -> None:
    """The limit holds fewer entries than there are, so entries come and go all the time."""
    command = [sys.executable, "-W", "error", "-c", _WRITER, str(cache.folder)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in running:
        out, err = process.communicate(timeout=100)
        assert out == "done\n", err
    assert {path.suffix for path in cache.folder.iterdir()} == {".object"}


def test_a_process_killed_while_writing_harms_nobody(cache: ObjectCache) -> None:
    writer = (
        "import sys, os; from pathlib import Path\n"
        "from efcompile.bundle.object_cache import ObjectCache\n"
        "os.replace = lambda *_: os.kill(os.getpid(), 9)\n"
        f"ObjectCache(Path(sys.argv[1])).put({KEY!r}, b'code')\n"
    )
    died = subprocess.run([sys.executable, "-c", writer, str(cache.folder)])
    assert died.returncode == -9
    assert len(list(cache.folder.iterdir())) == 1, "it had begun"
    assert cache.get(KEY) is None
    cache.put(KEY, b"code")
    assert cache.get(KEY) == b"code"


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EFCOMPILE_CACHE", "off")
    assert user_cache() is None
    monkeypatch.setenv("EFCOMPILE_CACHE", str(tmp_path))
    assert user_cache() == ObjectCache(tmp_path)
    monkeypatch.delenv("EFCOMPILE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == ObjectCache(tmp_path / "efcompile" / "kernels-1")
    for value in ("", "relative/is/ignored"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert user_cache() == ObjectCache(tmp_path / ".cache" / "efcompile" / "kernels-1")


def test_pruning_touches_nothing_but_what_the_cache_wrote(cache: ObjectCache) -> None:
    cache.put(KEY, b"object")
    (cache.folder / "folder").mkdir()
    for name in ("notes.txt", ".hidden", "mine.object", "folder/x"):
        (cache.folder / name).write_text("mine")
    names = ("notes.txt", ".hidden", "mine.object", "folder")
    for name in names:
        os.utime(cache.folder / name, (1.0, 1.0))
    ObjectCache(cache.folder, limit_bytes=0).prune()
    assert {path.name for path in cache.folder.iterdir()} == set(names)
