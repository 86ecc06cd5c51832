"""Files written whole or not at all."""

import os
import tempfile
from pathlib import Path

from efcompile.errors import ReportError


def write_text(text: str, path: Path) -> None:
    """Write `text` to `path` as UTF-8; folders on the way are made.

    A file that is already there is replaced in one step, so whatever goes wrong before leaves
    it as it was, and no reader sees half of the new one.  What is no file (a pipe, a terminal)
    is written to as it is.

    Raises `ReportError` naming the path if the system does not allow it.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("w", encoding="utf-8", newline="") as stream:
                stream.write(text)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(text, path)
    except OSError as error:
        raise ReportError(f"cannot write {path}: {error.strerror or error}") from error


def _replace(text: str, path: Path) -> None:
    # Behind a link stands the file that is meant.
    path = path.resolve()
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
        # `mkstemp` lets nobody else read; a file made by hand follows the umask.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
