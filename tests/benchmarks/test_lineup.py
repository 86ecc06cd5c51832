from functools import partial

import numpy as np
import pytest

from benchmarks import lineup as module
from benchmarks.avx2_host import NATIVE, Host, Isa
from benchmarks.case import Case, open_case
from benchmarks.evex_meter import Reading
from benchmarks.lineup import Lineup, line_up, without_avx512
from benchmarks.peers.peer import Array, Peer, Run


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


HELD = Host(Isa.AVX2, "x86-64-v3", True, "held")


def _seeing(monkeypatch: pytest.MonkeyPatch, evex: dict[str, int]) -> Lineup:
    """A lineup in which the named are found at so many AVX-512 instructions of 1000."""
    runs: dict[str, Run] = {name: partial(_counted, count) for name, count in evex.items()}
    monkeypatch.setattr(module, "read", lambda run: Reading(1000, int(run()[0])))
    return Lineup(runs, {"other": "refuses"})


def _counted(count: int) -> list[Array]:
    return [np.array(count)]


def test_those_who_run_avx512_though_held_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _seeing(monkeypatch, {"ours": 0, "wide": 7, "narrow": 0})
    after, sampled = without_avx512(before, HELD)
    assert list(after.runs) == ["ours", "narrow"]
    reason = "ran AVX-512 instructions in 7 of 1000 samples"
    assert after.refused == {"other": "refuses", "wide": reason}
    assert sampled == {"ours": 1000, "narrow": 1000}
    assert without_avx512(before, NATIVE) == (before, {})


def test_ours_must_not_run_avx512_where_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="ours ran AVX-512 instructions in 1 of 1000"):
        without_avx512(_seeing(monkeypatch, {"ours": 1}), HELD)
