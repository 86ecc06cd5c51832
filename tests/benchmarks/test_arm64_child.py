import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.case import open_case, relative_errors
from benchmarks.peers.registry import FILE_PEERS

CHILD = Path(__file__).parents[2] / "benchmarks" / "arm64_child.py"


@pytest.mark.parametrize("name", ["ort", "ncnn", "mnn"])
@pytest.mark.parametrize("calls", [1, 3])
def test_it_runs_the_prepared_model(name: str, calls: int, tmp_path: Path) -> None:
    peer = FILE_PEERS[name]
    if missing := peer.missing():
        pytest.skip(f"needs {missing}")
    given, made = tmp_path / "input.npy", tmp_path / "outputs.npz"
    with open_case("tests.small:Small") as case:
        np.save(given, case.input)
        arguments = (name, str(peer.prepared(case)), str(given), str(made), str(calls))
        command = [sys.executable, str(CHILD), *arguments]
        subprocess.run(command, check=True)
        with np.load(made) as outputs:
            assert relative_errors(list(outputs.values()), case.expected) < 1e-5


def test_starting_it_imports_only_what_the_arm64_python_has() -> None:
    code = f"import sys; sys.argv = [{str(CHILD)!r}]; import runpy; runpy.run_path({str(CHILD)!r});"
    code += "print([m for m in ('torch', 'tvm', 'onnx', 'efcompile') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
