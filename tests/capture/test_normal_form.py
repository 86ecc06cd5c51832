"""The rewrite to normal form beyond single spellings: what is composed, literal, or refused."""

import pytest
import torch
from torch import Tensor

from efcompile.capture import capture
from efcompile.capture.normal_form import functional
from efcompile.errors import CaptureError
from tests.capture.spellings import Function, Plain, random, spelled

aten = torch.ops.aten


def test_tensors_made_of_nothing_become_constants() -> None:
    assert spelled(lambda x: x + torch.arange(3.0) * 2, random(2, 3)) == [
        "mul.Tensor",
        "add.Tensor",
    ]
    assert spelled(lambda x: torch.cat([x, torch.zeros_like(x)]), random(2, 3)) == ["cat.default"]


def test_operations_torch_composes_are_written_out() -> None:
    found = spelled(lambda x: torch.einsum("bi,bj->ij", x, x), random(2, 3))
    assert "einsum.default" not in found and "matmul.default" in found


def test_several_results_come_by_getitem() -> None:
    graph = capture(Plain(lambda x: x.topk(2)[0]), random(2, 5)).graph_module.graph
    names = [str(n.target) for n in graph.nodes if n.op == "call_function"]
    assert names[0] == "aten.topk.default" and "getitem" in names[1]
    assert spelled(lambda x: x.topk(2)[0] + 1, random(2, 5))[-1] == "add.Tensor"


def test_unused_parameters_and_assertions_are_dropped() -> None:
    class Spare(Plain):
        def __init__(self) -> None:
            super().__init__(lambda x: x * 2)
            self.spare = torch.nn.Parameter(torch.ones(3))

    graph_module = capture(Spare(), random(2, 3)).graph_module
    assert dict(graph_module.named_buffers()) == {}

    def checked(x: Tensor) -> Tensor:
        torch._assert(x.shape[1] == 3, "three")  # type: ignore[no-untyped-call]
        return x.exp()

    assert spelled(checked, random(2, 3)) == ["exp.default"]


REFUSED: dict[str, tuple[Function, str]] = {
    "mask": (lambda x: x[x > 0], "index.Tensor gives a size or a number that depends"),
    "item": (lambda x: x * x.mean().item(), "item.default gives a size or a number"),
    "nonzero": (lambda x: x.nonzero(), "static"),
    "random": (lambda x: x + torch.rand(3), "draws random numbers"),
    "noise": (lambda x: x + torch.randn_like(x), "draws random numbers"),
    "training_dropout": (lambda x: torch.nn.functional.dropout(x, 0.5), "draws random numbers"),
    "attention_dropout": (
        lambda x: torch.nn.functional.scaled_dot_product_attention(x, x, x, dropout_p=0.5),
        "draws random numbers: its attention",
    ),
    "none": (lambda x: (x * 2, None), "output 1 of the model is None"),
    "number": (lambda x: (3, x * 2), "output 0 of the model is 3"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_say_what_and_where(name: str) -> None:
    function, reason = REFUSED[name]
    with pytest.raises(CaptureError, match=reason):
        capture(torch.nn.Sequential(Plain(function)), random(2, 3))


def test_the_module_is_named() -> None:
    model = torch.nn.Sequential(torch.nn.Identity(), Plain(lambda x: x[x > 0]))
    with pytest.raises(CaptureError, match="in 1, "):
        capture(model, random(2, 3))


def test_functional_forms() -> None:
    assert functional(aten.add_.Tensor) is aten.add.Tensor
    assert functional(aten.silu_.default) is aten.silu.default
    with pytest.raises(CaptureError, match="no functional form"):
        functional(aten.add.out)
