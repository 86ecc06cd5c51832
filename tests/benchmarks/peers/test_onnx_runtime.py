from benchmarks.peers.onnx_runtime import OnnxRuntime
from tests.benchmarks.peers.contest import BATCH_AND_THREADS, assert_right


@BATCH_AND_THREADS
def test_it_computes_what_eager_does(batch: int, threads: int) -> None:
    assert_right(OnnxRuntime(), batch, threads)
