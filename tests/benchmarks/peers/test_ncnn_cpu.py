import pytest

from benchmarks.case import open_case
from benchmarks.peers.ncnn_cpu import Ncnn
from tests.benchmarks.peers.contest import BATCH_AND_THREADS, SMALL, assert_right


@BATCH_AND_THREADS
def test_it_computes_what_eager_does(batch: int, threads: int) -> None:
    assert_right(Ncnn(), batch, threads)


def test_a_failing_converter_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pnnx = pytest.importorskip("pnnx")
    monkeypatch.setattr(pnnx, "EXEC_PATH", "false")
    with open_case(SMALL) as case, pytest.raises(RuntimeError, match=r"pnnx failed \(1\)"):
        Ncnn().start(case, 1)
