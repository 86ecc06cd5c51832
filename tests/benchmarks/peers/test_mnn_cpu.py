import sys

import pytest

from benchmarks.case import open_case
from benchmarks.peers import mnn_cpu
from benchmarks.peers.mnn_cpu import Mnn
from tests.benchmarks.peers.contest import BATCH_AND_THREADS, SMALL, assert_right


@BATCH_AND_THREADS
def test_it_computes_what_eager_does(batch: int, threads: int) -> None:
    assert_right(Mnn(), batch, threads)
    assert "MNN.tools" not in sys.modules  # which calls pip and the network


def test_a_failing_converter_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    monkeypatch.setattr(mnn_cpu, "_CONVERT", "print('no such op'); raise SystemExit(3)")
    with open_case(SMALL) as case, pytest.raises(RuntimeError, match=r"failed \(3\): no such op"):
        Mnn().start(case, 1)
