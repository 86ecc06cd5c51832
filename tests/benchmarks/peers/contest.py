"""What every contestant must pass."""

import pytest

from benchmarks.case import open_case, relative_errors
from benchmarks.peers.peer import Peer

SMALL = "tests.small:Small"
BATCH_AND_THREADS = pytest.mark.parametrize(("batch", "threads"), [(1, 1), (3, 2)])


def assert_right(peer: Peer, batch: int, threads: int) -> None:
    """It computes what eager does, and again; skips if it is not installed.

    The small model has an exact GELU: its tanh formula would be off by 1e-4.
    """
    if missing := peer.missing():
        pytest.skip(f"pip install {' '.join(missing)}")
    with open_case(SMALL, batch) as case:
        run = peer.start(case, threads)
        first = [output.copy() for output in run()]
        assert relative_errors(first, case.expected) < 1e-5
        assert relative_errors(list(run()), case.expected) < 1e-5
