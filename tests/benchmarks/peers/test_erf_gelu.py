from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.peers.erf_gelu import erf_gelu


class _Gelus(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.gelu(nn.functional.gelu(x) + 1)
        return nn.functional.gelu(y, approximate="tanh")


def test_exact_gelus_are_spelled_out(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    reference = pytest.importorskip("onnx.reference")
    x = torch.linspace(-4, 4, 50)
    torch.onnx.export(
        _Gelus().eval(), (x,), tmp_path / "m.onnx", dynamo=True, verbose=False, opset_version=20
    )
    model = erf_gelu(onnx.load(tmp_path / "m.onnx"))
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Erf") == 2 and kinds.count("Gelu") == 1
    onnx.checker.check_model(model)
    (got,) = reference.ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x.numpy()})
    assert np.abs(got - _Gelus()(x).numpy()).max() < 1e-5
