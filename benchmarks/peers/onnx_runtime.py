"""ONNX Runtime's CPU provider."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers.peer import Array, FilePeer, Run

if TYPE_CHECKING:
    from benchmarks.case import Case

_FILE = "path"


class OnnxRuntime(FilePeer):
    """All graph optimisations on (its default), its own threads only, input used in place."""

    name = "ort"
    packages = ("onnxruntime", "onnx", "onnxscript")

    def prepare(self, case: "Case", folder: Path) -> None:
        """The shared ONNX file, which holds its weights beside it, is what it loads."""
        (folder / _FILE).write_text(str(case.onnx))

    def runtime(self) -> Any:
        """See `FilePeer.runtime`."""
        import onnxruntime

        return onnxruntime

    def load(self, folder: Path, x: Array, threads: int) -> Run:
        """See `FilePeer.load`."""
        onnxruntime = self.runtime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            (folder / _FILE).read_text(), options, providers=["CPUExecutionProvider"]
        )
        feed = {session.get_inputs()[0].name: x}

        def run() -> list[Array]:
            outputs: list[Array] = session.run(None, feed)
            return outputs

        return run
