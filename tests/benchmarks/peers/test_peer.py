from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.case import Case, open_case
from benchmarks.peers.peer import Array, FilePeer, Run, version
from tests.benchmarks.peers.contest import SMALL


class _Copying(FilePeer):
    """Returns what `prepare` wrote, which fails the first time."""

    name = "copying"
    packages = ("numpy", "no-such-package")

    def __init__(self) -> None:
        self.prepared_times = 0

    def prepare(self, case: Case, folder: Path) -> None:
        self.prepared_times += 1
        np.save(folder / "x.npy", case.input)
        if self.prepared_times == 1:
            raise RuntimeError("out of luck")

    def runtime(self) -> Any:
        return np

    def load(self, folder: Path, x: Array, threads: int) -> Run:
        return lambda: [np.load(folder / "x.npy")]


def test_files_are_made_once_and_not_kept_after_a_failure() -> None:
    peer = _Copying()
    with open_case(SMALL) as case:
        with pytest.raises(RuntimeError, match="out of luck"):
            peer.start(case, 1)
        for threads in (1, 2):
            assert np.array_equal(peer.start(case, threads)()[0], case.input)
        assert peer.prepared_times == 2


def test_what_is_not_installed_is_missing() -> None:
    assert _Copying().missing() == ("no-such-package",)
    assert version("numpy") == np.__version__
