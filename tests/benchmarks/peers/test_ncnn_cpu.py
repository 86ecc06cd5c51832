from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks.case import Case, open_case
from benchmarks.peers.ncnn_cpu import Ncnn, untranslated
from tests.benchmarks.peers.contest import BATCH_AND_THREADS, SMALL, assert_right


@BATCH_AND_THREADS
def test_it_computes_what_eager_does(batch: int, threads: int) -> None:
    assert_right(Ncnn(), batch, threads)


def test_a_failing_converter_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pnnx = pytest.importorskip("pnnx")
    monkeypatch.setattr(pnnx, "EXEC_PATH", "false")
    with open_case(SMALL) as case, pytest.raises(RuntimeError, match=r"pnnx failed \(1\)"):
        Ncnn().start(case, 1)


def test_operators_that_ncnn_does_not_have_are_named() -> None:
    param = "7767517\n3 3\nInput in0 0 1 in0\ntorch.unbind u 1 1 in0 1\nGELU g 1 1 1 out0\n"
    assert untranslated(param) == ["torch.unbind"]


class _Unbinding(nn.Module):
    default_input_size = (3, 8, 8)

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.reshape(1, 3, 2, 4, 8).permute(2, 0, 1, 3, 4).unbind(0)
        return first * second


def test_a_model_with_such_an_operator_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pnnx")
    case = Case("unbinding", _Unbinding(), torch.randn(1, 3, 8, 8), tmp_path)
    with pytest.raises(RuntimeError, match=r"no ncnn layers for .*torch\.unbind"):
        Ncnn().start(case, 1)
