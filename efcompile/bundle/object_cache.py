"""Compiled kernels kept between runs: files in a folder of the user's, named by content.

A key says everything an object is made of, so an entry never becomes wrong; it may only be
damaged, which its checksum tells, or unused for long, and then it goes.  Any number of
processes share the folder: an entry appears whole or not at all, by renaming, and two that
write the same one write the same bytes.

``EFCOMPILE_CACHE`` names another folder, or is ``off``.
"""

import contextlib
import hashlib
import os
import re
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

FORMAT = 1
_MAGIC = b"EFOBJECT"
_HEADER = len(_MAGIC) + hashlib.sha256().digest_size
_SUFFIX = ".object"
_ENTRY = re.compile(r"[0-9a-f]+\.object")
_PARTIAL = re.compile(r"\.[0-9a-f]+\.\w+")
"""The names that `ObjectCache.put` makes; nothing else in the folder is ours to delete."""
_ABANDONED_SECONDS = 3600.0
"""Age at which a file that was never renamed must be of a process that died."""


@dataclass(frozen=True)
class ObjectCache:
    """The entries in `folder`, at most `limit_bytes` after a `prune`."""

    folder: Path
    limit_bytes: int = 2 << 30

    def get(self, key: str) -> bytes | None:
        """The object kept under `key` (hexadecimal), or None; a damaged one is passed over
        with a warning."""
        path = self.folder / f"{key}{_SUFFIX}"
        try:
            data = path.read_bytes()
        except OSError:
            return None  # not there, or not readable: then writing fails too, and says why
        body = data[_HEADER:]
        if data[:_HEADER] != _header(body):
            warnings.warn(f"{path} is damaged: compiling that kernel again", stacklevel=2)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # so that `prune` knows it is in use
        return body

    def put(self, key: str, body: bytes) -> None:
        """Keep `body` under `key`; raises `OSError` if the folder cannot be written."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{key}.", dir=self.folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_header(body) + body)
            os.replace(name, self.folder / f"{key}{_SUFFIX}")
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise

    def prune(self) -> None:
        """Drop what crashed processes left, and the entries longest unused beyond the limit."""
        now = time.time()
        kept: list[tuple[float, int, Path]] = []
        for path in self.folder.iterdir():
            # Another process may prune at the same time.
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                if _ENTRY.fullmatch(path.name):
                    kept.append((status.st_mtime, status.st_size, path))
                elif _PARTIAL.fullmatch(path.name) and now - status.st_mtime > _ABANDONED_SECONDS:
                    path.unlink()
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= self.limit_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size


def user_cache() -> ObjectCache | None:
    """The cache that ``EFCOMPILE_CACHE`` names, or the user's own; None if it is ``off``.

    The user's own is ``efcompile/kernels-<format>`` in ``XDG_CACHE_HOME`` or ``~/.cache``.
    """
    wanted = os.environ.get("EFCOMPILE_CACHE")
    if wanted == "off":
        return None
    if wanted:
        return ObjectCache(Path(wanted).absolute())
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        home = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    except RuntimeError:  # a user without a home: nowhere to keep anything
        return None
    return ObjectCache(home / "efcompile" / f"kernels-{FORMAT}")


def _header(body: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(body).digest()
