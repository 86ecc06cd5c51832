"""The runtimes that efcompile is compared with: each turns a model into a callable."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

Run = Callable[[], object]
"""One inference on the fixed input."""


def eager(model: nn.Module, x: torch.Tensor, threads: int) -> Run:
    """PyTorch itself."""
    torch.set_num_threads(threads)

    def run() -> object:
        with torch.inference_mode():
            return model(x)

    return run


def ort(model: nn.Module, x: torch.Tensor, threads: int) -> Run:
    """ONNX Runtime's CPU provider, all graph optimisations on, through torch's exporter."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(model, (x,), path, dynamo=True, verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            path.as_posix(), options, providers=["CPUExecutionProvider"]
        )
    feed = {session.get_inputs()[0].name: x.numpy()}
    return lambda: session.run(None, feed)[0]


def ours(model: nn.Module, x: torch.Tensor, threads: int) -> Run:
    """efcompile for this machine."""
    import efcompile

    compiled = efcompile.optimize(model, (x,), target="host", threads=threads)
    return lambda: compiled(x)


PEERS: dict[str, Callable[[nn.Module, torch.Tensor, int], Run]] = {"eager": eager, "ort": ort}
"""Peer name -> how to prepare it."""
