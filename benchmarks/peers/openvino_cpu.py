"""OpenVINO's CPU plugin."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers.peer import Array, FilePeer, Run

if TYPE_CHECKING:
    from benchmarks.case import Case

_FILE = "model.xml"


class OpenVino(FilePeer):
    """Tuned for latency, fp32 kept fp32, one request used again and again, input in place."""

    name = "openvino"
    packages = ("openvino", "onnx", "onnxscript")

    def prepare(self, case: "Case", folder: Path) -> None:
        """Convert to OpenVINO's own format, weights in full precision."""
        openvino = self.runtime()
        model = openvino.Core().read_model(case.onnx)
        openvino.save_model(model, folder / _FILE, compress_to_fp16=False)

    def runtime(self) -> Any:
        """See `FilePeer.runtime`."""
        # It would report its use over the network, from a thread that runs beside the timing;
        # without this package it does not.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        import openvino

        return openvino

    def load(self, folder: Path, x: Array, threads: int) -> Run:
        """See `FilePeer.load`."""
        openvino = self.runtime()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
        }
        compiled = openvino.Core().compile_model(folder / _FILE, "CPU", settings)
        request = compiled.create_infer_request()
        request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
        tensors = [request.get_output_tensor(i) for i in range(len(compiled.outputs))]

        def run() -> list[Array]:
            request.infer()
            return [tensor.data for tensor in tensors]

        return run
