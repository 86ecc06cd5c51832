import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from benchmarks.avx2_host import environment
from benchmarks.cpuid_sites import libraries
from benchmarks.evex_meter import Reading, objection, read
from tests.benchmarks.native_code import on_x86, shared, with_avx512

pytestmark = on_x86
ROOT = Path(__file__).parents[2]

_LOOPS = """
#define LOOP(name, text) void name(long n) { \\
    for (; n; n--) __asm__ volatile(".rept 16\\n" text "\\n.endr"); }
LOOP(wide, "vaddps %zmm0, %zmm1, %zmm2")
LOOP(narrow, "vaddps %ymm0, %ymm1, %ymm2")
"""
_STEPS = 20_000


@pytest.fixture(scope="module")
def loops(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("loops")
    return ctypes.CDLL(str(shared(folder, _LOOPS)))


@with_avx512
def test_avx512_code_is_seen(loops: ctypes.CDLL) -> None:
    reading = read(lambda: loops.wide(ctypes.c_long(_STEPS)), seconds=0.2)
    assert reading.samples > 50
    assert 0.5 * reading.samples < reading.evex <= reading.samples


def test_avx2_code_is_not(loops: ctypes.CDLL) -> None:
    reading = read(lambda: loops.narrow(ctypes.c_long(_STEPS)), seconds=0.2)
    assert reading.samples > 50 and reading.evex == 0


@with_avx512
def test_threads_that_work_are_seen_and_those_that_wait_say_nothing(loops: ctypes.CDLL) -> None:
    ask, answer, end = threading.Semaphore(0), threading.Semaphore(0), threading.Event()

    def work() -> None:
        while ask.acquire() and not end.is_set():
            loops.wide(ctypes.c_long(20 * _STEPS))
            answer.release()

    def run() -> None:
        ask.release()
        answer.acquire()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        reading = read(run, seconds=0.3)
    finally:
        end.set()
        ask.release()
        worker.join()
    assert reading.samples > 50 and reading.evex > 0.5 * reading.samples


@pytest.mark.parametrize(
    ("reading", "reason"),
    [
        (Reading(1000, 0), None),
        (Reading(1000, 3), "ran AVX-512 instructions in 3 of 1000 samples"),
        (Reading(9, 0), "was found at work only 9 times: too few to see what it runs"),
    ],
)
def test_what_is_objected(reading: Reading, reason: str | None) -> None:
    assert objection(reading) == reason


_ORT = """
import numpy, onnx, onnxruntime
from onnx import helper
from benchmarks.evex_meter import read
floats = onnx.TensorProto.FLOAT
graph = helper.make_graph(
    [helper.make_node("MatMul", ["a", "b"], ["c"])], "product",
    [helper.make_tensor_value_info(name, floats, [256, 256]) for name in "ab"],
    [helper.make_tensor_value_info("c", floats, [256, 256])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(
    model.SerializeToString(), options, providers=["CPUExecutionProvider"]
)
feed = {name: numpy.ones((256, 256), numpy.float32) for name in "ab"}
reading = read(lambda: session.run(None, feed))
print(reading.samples, reading.evex)
"""


@with_avx512
def test_onnx_runtime_runs_avx512_code_unless_it_is_held() -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")

    def measured(env: dict[str, str]) -> tuple[int, int]:
        command = [sys.executable, "-c", _ORT]
        done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        samples, evex = done.stdout.split()
        return int(samples), int(evex)

    samples, evex = measured(dict(os.environ))
    assert samples > 100 and evex > 0
    samples, evex = measured(environment(libraries(["onnxruntime", "onnx"]), os.environ))
    assert samples > 100 and evex == 0
