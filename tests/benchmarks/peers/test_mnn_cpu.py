import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.case import open_case
from benchmarks.peers.registry import PEERS

ROOT = Path(__file__).parents[3]
CODE = """
import os, sys
from pathlib import Path
import numpy as np
from benchmarks.peers.mnn_cpu import Mnn
x = np.zeros((1, 3, 17, 17), np.float32)
before = len(os.listdir("/proc/self/task"))
run = Mnn().load(Path(sys.argv[1]), x, int(sys.argv[2]))
run()
print("\\n%d" % (len(os.listdir("/proc/self/task")) - before))
"""


def test_it_starts_no_more_threads_than_it_is_given() -> None:
    peer = PEERS["mnn"]
    if missing := peer.missing():
        pytest.skip(f"needs {missing}")
    with open_case("tests.small:Small") as case:
        folder = peer.prepared(case)  # type: ignore[attr-defined]
        for threads in (1, 2):
            command = [sys.executable, "-c", CODE, str(folder), str(threads)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            # numpy's own, if any, were there before; the calling thread is one of MNN's.
            assert int(done.stdout.split()[-1]) == threads - 1
