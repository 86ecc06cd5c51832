"""Memory that native code is handed: aligned, and alive as long as its owner."""

import mmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def zeroed(size: int) -> NDArray[np.uint8]:
    """`size` zero bytes of their own pages, so aligned to more than any kernel asks."""
    return np.frombuffer(mmap.mmap(-1, size), np.uint8)


def mapped(path: Path) -> NDArray[np.uint8]:
    """A file's bytes, read-only and shared between processes."""
    with path.open("rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
