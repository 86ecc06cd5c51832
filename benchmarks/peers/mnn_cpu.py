"""MNN's CPU backend, through its converter from ONNX."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers.erf_gelu import erf_gelu
from benchmarks.peers.peer import Array, FilePeer, Run

if TYPE_CHECKING:
    from benchmarks.case import Case

_FILE, _NAMES = "model.mnn", "names.json"

# `MNN.tools`, the documented way, installs packages with pip on import and reports its use over
# the network; the native converter under it does neither.
_CONVERT = "import sys, _tools; _tools.mnnconvert(sys.argv)"


class Mnn(FilePeer):
    """High precision (fp32), weights rearranged once, the shape fixed.

    MNN computes ONNX's exact GELU by the tanh formula (5e-4 off), whatever the precision asked
    for, so its model spells GELU out.
    """

    name = "mnn"
    packages = ("MNN", "onnx", "onnxscript")

    def prepare(self, case: "Case", folder: Path) -> None:
        """Convert in a process of its own; `RuntimeError` with what the converter says."""
        import onnx

        model = erf_gelu(onnx.load(case.onnx))
        onnx.save(model, folder / "spelled.onnx")
        graph = model.graph
        names = [[value.name for value in values] for values in (graph.input, graph.output)]
        (folder / _NAMES).write_text(json.dumps(names))
        files = ("--modelFile", str(folder / "spelled.onnx"), "--MNNModel", str(folder / _FILE))
        command = [sys.executable, "-c", _CONVERT, "-f", "ONNX", *files, "--bizCode", "bench"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not (folder / _FILE).exists():
            raise RuntimeError(f"mnnconvert failed ({done.returncode}): {done.stdout[-300:]}")
        (folder / "spelled.onnx").unlink()

    def runtime(self) -> Any:
        """See `FilePeer.runtime`."""
        import MNN
        import MNN.expr
        import MNN.nn

        return MNN

    def load(self, folder: Path, x: Array, threads: int) -> Run:
        """See `FilePeer.load`."""
        mnn = self.runtime()
        inputs, outputs = json.loads((folder / _NAMES).read_text())
        # The loader's own `thread_num` and `precision_mode` do not reach the backend: it would
        # start four threads.
        settings = {"backend": "CPU", "precision": "high", "numThread": threads}
        module = mnn.nn.load_module_from_file(
            str(folder / _FILE),
            inputs,
            outputs,
            runtime_manager=mnn.nn.create_runtime_manager((settings,)),
            rearrange=True,
            shape_mutable=False,
        )
        variable = mnn.expr.placeholder(list(x.shape), mnn.expr.NCHW, mnn.expr.float)
        variable.write(x)

        def run() -> list[Array]:
            return [output.read() for output in module.forward([variable])]

        return run
