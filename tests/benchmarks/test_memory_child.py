import subprocess
import sys
from pathlib import Path

CHILD = Path(__file__).parents[2] / "benchmarks" / "memory_child.py"


def test_starting_it_imports_neither_torch_nor_a_compiler() -> None:
    code = f"import sys; sys.argv = [{str(CHILD)!r}]; import runpy; runpy.run_path({str(CHILD)!r});"
    code += "print([m for m in ('torch', 'tvm', 'onnx', 'efcompile.api') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
