"""Tracing with torch.export, and with make_fx where that refuses."""

import warnings

import pytest
import torch
from torch import Tensor, nn

from efcompile.capture.trace import ROOT, source_of, trace
from efcompile.errors import CaptureError
from tests.small import branching, image


class Inner(nn.Module):
    """A convolution and a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.norm(self.conv(x))
        return result


class Outer(nn.Module):
    """Calls a submodule that may be scripted, twice another one."""

    def __init__(self, scripted: bool) -> None:
        super().__init__()
        inner = Inner().eval()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.inner = torch.jit.script(inner) if scripted else inner
        self.again = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.inner(x).mean((2, 3))
        return {"y": self.again(self.again(y)) + 1}


def test_sources_are_module_paths() -> None:
    found = trace(lambda: Outer(False).eval(), (torch.randn(2, 3, 4, 4),))
    calls = [n for n in found.graph.nodes if n.op == "call_function"]
    assert [source_of(n)[0] for n in calls] == [
        "inner.conv", "inner.norm", ROOT, "again", "again", ROOT,
    ]  # fmt: skip
    paths = {path for path, _ in found.constants.values()}
    assert {"inner.conv.weight", "inner.norm.running_var", "again.bias"} <= paths


def test_make_fx_takes_over_where_export_refuses() -> None:
    model = Outer(True).eval()
    x = torch.randn(2, 3, 4, 4)
    with pytest.raises(Exception):  # noqa: B017
        torch.export.export(model, (x,), strict=False)
    found = trace(lambda: model, (x,))
    targets = [str(n.target) for n in found.graph.nodes if n.op == "call_function"]
    assert "aten.conv2d.default" in targets and "aten.batch_norm.default" in targets
    sources = [source_of(n)[0] for n in found.graph.nodes if "linear" in str(n.target)]
    assert sources == ["again", "again"]
    assert found.output_spec.num_leaves == 1
    assert "again.weight" in {path for path, _ in found.constants.values()}


def test_a_branch_on_data_is_refused_with_its_place() -> None:
    with pytest.raises(CaptureError) as caught:
        trace(branching, (image(),))
    message = str(caught.value)
    assert "Branching cannot be captured as a static graph" in message
    assert "in Branching, at small.py:" in message and "x.sum() > 0" in message
    assert "control flow must not depend on the values" in message


def test_a_model_that_does_not_run_is_told_apart() -> None:
    with pytest.raises(CaptureError, match=r"does not run on the example input \(1, 5\)"):
        trace(lambda: nn.Linear(3, 2), (torch.zeros(1, 5),))


def test_a_model_that_changes_its_state_is_refused() -> None:
    class Counting(nn.Module):
        count: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.count += 1
            return x * self.count

    with pytest.raises(CaptureError, match="changes count in place"):
        trace(Counting, (torch.zeros(1, 5),), functional=True)


def test_regions_without_grad_are_flattened() -> None:
    class NoGrad(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            with torch.enable_grad():
                y = x.exp()
            return y + 1

    found = trace(NoGrad, (torch.zeros(1, 5),))
    targets = [str(n.target) for n in found.graph.nodes if n.op == "call_function"]
    assert targets[0] == "aten.exp.default" and "aten.add.Tensor" in targets
