"""Putting a finished directory in the place of another in one step."""

import ctypes
import errno
import os
import shutil
from pathlib import Path

from efcompile.errors import BundleError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def put_in_place(folder: Path, final: Path) -> None:
    """Rename `folder` to `final`, which may hold an older one; that one is then removed.

    At every moment `final` is the complete old directory or the complete new one, except on
    file systems that cannot exchange two names: there it is missing for an instant, and put
    back if the second renaming fails.  Raises `BundleError` if `final` cannot be replaced.
    """
    try:
        if not final.exists():
            folder.rename(final)
        elif _exchange(folder, final):
            shutil.rmtree(folder)
        else:
            _swap_in_two(folder, final)
        _sync(final.parent)
    except OSError as error:
        raise BundleError(f"cannot put the bundle at {final}: {error.strerror}") from error


def _exchange(a: Path, b: Path) -> bool:
    """Swap two names atomically; false where the system or the disk cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    names = os.fsencode(a), os.fsencode(b)
    if renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code))


def _swap_in_two(folder: Path, final: Path) -> None:
    old = folder.with_name(f"{folder.name}.old")
    final.rename(old)
    try:
        folder.rename(final)
    except BaseException:
        old.rename(final)
        raise
    shutil.rmtree(old)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
