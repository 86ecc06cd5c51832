"""Which values are the same ones, in whatever layout, and which are not."""

import torch
from torch import Tensor, nn

from efcompile.passes.verification import node_values
from efcompile.report.counterparts import Counterpart, counterparts
from efcompile.report.subject import Subject
from tests.report.planted import Spoilt, unverified


def _found(subject: Subject, tolerance: float = 1e-4) -> dict[str, Counterpart | None]:
    inputs = subject.captured.example_inputs
    first, last = subject.graphs[0], subject.graphs[-1]
    wanted, got = node_values(first, inputs), node_values(last, inputs)
    return counterparts(first, last, wanted, got, tolerance)


def test_every_value_of_the_optimised_graph_is_one_of_the_originals() -> None:
    subject = unverified()
    found = _found(subject)
    assert all(found.values())
    names = list(dict.fromkeys(c.name for c in found.values() if c))
    # Of each block what its last fused op gives, then the head; what only moves data is both.
    assert [n for n in names if n.startswith(("gelu", "add", "linear"))] == [
        "gelu",
        "add",
        "gelu_1",
        "add_1",
        "linear",
    ]
    assert not any("norm" in name for name in names)
    order = [n.name for n in subject.graphs[0].graph.nodes]
    assert [order.index(name) for name in names] == sorted(order.index(name) for name in names)


def test_images_are_the_same_in_either_layout() -> None:
    subject = unverified("fold-batchnorm", "legalise")
    found = _found(subject)
    inputs = subject.captured.example_inputs
    wanted = node_values(subject.graphs[0], inputs)
    got = node_values(subject.graphs[-1], inputs)
    images = {
        name: c for name, c in found.items() if c and c.dims == (0, 2, 3, 1) and got[name].ndim == 4
    }
    assert images
    for name, c in images.items():
        assert torch.equal(c.value, wanted[c.name].permute(0, 2, 3, 1))
        assert c.relative < 1e-5 and c.value.shape == got[name].shape


def test_a_value_that_the_original_never_has_is_no_counterpart() -> None:
    # Folded into what is before it, the convolution's own result is nowhere; folded weights past
    # a GELU would be another function. Unfolded, but scaled halfway: a plain affine op.
    subject = unverified("legalise", "cancel-reshapes")
    first, last = subject.graphs[0], subject.graphs[-1]
    inputs = subject.captured.example_inputs
    wanted, got = node_values(first, inputs), node_values(last, inputs)
    affine = next(n.name for n in last.graph.nodes if "affine" in str(n.target))
    conv = next(n.name for n in last.graph.nodes if "conv2d" in str(n.target))
    assert _found(subject)[affine] is not None
    got[conv] = got[conv] * 3.0
    found = counterparts(first, last, wanted, got, 1e-4)
    # What is computed from it is right: so it was not wrong, but another value.
    assert found[conv] is None
    affine_found = found[affine]
    assert affine_found is not None and affine_found.name == "batch_norm"


def test_a_wrong_value_keeps_its_counterpart() -> None:
    found = _found(unverified(Spoilt(), "cancel-reshapes"))
    wrong = {name: c for name, c in found.items() if c and c.relative > 1e-4}
    assert wrong
    assert next(iter(wrong.values())).name in ("batch_norm_1", "convolution_1", "conv2d_1")


def test_tokens_are_images_too() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 1)
            self.norm = nn.LayerNorm(8)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.norm(self.conv(x).flatten(2).transpose(1, 2))
            return y

    from efcompile.capture import capture
    from efcompile.passes.manager import run_pipeline
    from efcompile.passes.pipeline import PIPELINE

    captured = capture(Tokens().eval(), torch.randn(2, 3, 5, 7))
    stages = run_pipeline(captured.graph_module, captured.example_inputs, PIPELINE, verify=False)
    found = _found(Subject("tokens", captured, PIPELINE, tuple(stages)))
    assert all(found.values())
    images = [c for c in found.values() if c and len(c.dims) == 4]
    assert images and images[0].dims == (0, 2, 3, 1) and images[0].value.shape[-1] == 8
