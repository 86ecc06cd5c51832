import sys

from benchmarks.peers.openvino_cpu import OpenVino
from tests.benchmarks.peers.contest import BATCH_AND_THREADS, assert_right


@BATCH_AND_THREADS
def test_it_computes_what_eager_does(batch: int, threads: int) -> None:
    assert_right(OpenVino(), batch, threads)
    assert sys.modules["openvino_telemetry"] is None
