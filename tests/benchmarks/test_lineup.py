import numpy as np
import pytest

from benchmarks.case import Case, open_case
from benchmarks.lineup import line_up
from benchmarks.peers.peer import Peer, Run


class _Fixed(Peer):
    """Eager's outputs times a factor."""

    packages = ()

    def __init__(self, name: str, factor: float) -> None:
        self.name = name  # type: ignore[misc]
        self.factor = factor

    def start(self, case: Case, threads: int) -> Run:
        return lambda: [np.asarray(self.factor * output) for output in case.expected]


class _Refusing(Peer):
    name = "refusing"
    packages = ()

    def start(self, case: Case, threads: int) -> Run:
        raise NotImplementedError("no such operator\nand more")


def test_those_who_compute_what_eager_does_take_part() -> None:
    peers = [_Fixed("right", 1), _Fixed("wrong", 1.01), _Refusing()]
    with open_case("tests.small:Small") as case:
        lineup = line_up(case, _Fixed("ours", 1), peers, threads=1)
    assert list(lineup.runs) == ["ours", "right"]
    assert lineup.refused == {
        "wrong": "wrong result: differs from eager by 1.0e-02 of its scale",
        "refusing": "refuses: NotImplementedError: no such operator",
    }


def test_ours_must_be_right() -> None:
    with open_case("tests.small:Small") as case, pytest.raises(SystemExit, match="ours differs"):
        line_up(case, _Fixed("ours", 0.9), [], threads=1)
