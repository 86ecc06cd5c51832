"""`capture` as a whole: what comes out, and what is refused."""

import copy
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from efcompile.capture import capture, name_of
from efcompile.errors import CaptureError, InputError
from efcompile.models.randomize import randomize
from efcompile.models.zoo import create, resolve_model
from tests.small import Named, Small, branching, image, small


def test_the_graph_computes_what_the_model_does() -> None:
    model, x = small(), image(batch=3)
    captured = capture(model, x)
    assert captured.name == "small" and captured.notes == ()
    assert torch.equal(captured.graph_module(x)[0], model(x))
    nodes = captured.graph_module.graph.nodes
    assert [n.op for n in nodes if n.op == "placeholder"] == ["placeholder"]
    for node in nodes:
        if node.op in ("call_function", "get_attr"):
            assert node.meta["custom"]["source"] and node.meta["val"].is_meta
        if node.op == "get_attr":
            assert "." not in node.target
            assert isinstance(captured.graph_module.get_buffer(node.target), Tensor)


def test_outputs_keep_their_structure() -> None:
    model = randomize(Named().eval())
    captured = capture(model, image())
    flat = captured.graph_module(image())
    assert isinstance(flat, tuple) and len(flat) == 2
    got = pytree.tree_unflatten(list(flat), captured.output_spec)
    wanted = model(image())
    assert got.keys() == wanted.keys() and isinstance(got["more"], tuple)
    assert torch.equal(got["logits"], wanted["logits"])


def test_training_mode_is_noted_and_the_model_not_changed() -> None:
    model = randomize(Small().train())
    before = copy.deepcopy(model.state_dict())
    captured = capture(model, image(batch=2))
    assert "training mode" in captured.notes[0]
    assert model.training and model.norm.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    model.eval()
    assert torch.equal(captured.graph_module(image(batch=2))[0], model(image(batch=2)))


def test_several_inputs() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x @ y

    x, y = torch.randn(2, 3), torch.randn(3, 4)
    captured = capture(Two(), (x, y))
    assert [n.name for n in captured.graph_module.graph.nodes][:2] == ["x", "y"]
    assert torch.equal(captured.graph_module(x, y)[0], x @ y)


def test_constants_are_copies() -> None:
    model = small()
    captured = capture(model, image())
    wanted = model(image())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(captured.graph_module(image())[0], wanted)


@pytest.mark.parametrize("source", ["efficientformerv2_s0", "timm:efficientformer_l1"])
def test_lazy_caches_leave_no_trace(source: str) -> None:
    """The graph is the same whether or not the model ran before, with other weights even."""
    if source.startswith("timm:") and find_spec("timm") is None:
        pytest.skip("timm is not installed")
    small_zoo = source == "efficientformerv2_s0"
    model = create(source, resolution=64) if small_zoo else resolve_model(source)
    randomize(model.eval())
    fresh = capture(copy.deepcopy(model))
    model(fresh.example_inputs[0])  # with grad, the worst kind of cached tensor
    state = {name: id(value) for name, value in vars(model).items()}
    used = capture(model)
    assert used.graph_module.code == fresh.graph_module.code
    assert {name: id(value) for name, value in vars(model).items()} == state
    x = fresh.example_inputs[0]
    assert torch.equal(used.graph_module(x)[0], fresh.graph_module(x)[0])


def test_integer_inputs_are_refused() -> None:
    with pytest.raises(InputError, match="dtype int64"):
        capture(small(), torch.zeros(1, 3, 17, 17, dtype=torch.int64))


def test_a_branch_on_data_is_refused() -> None:
    with pytest.raises(CaptureError, match="cannot be captured as a static graph"):
        capture(branching(), image())


def test_names() -> None:
    assert name_of(nn.Linear(1, 1)) == "linear"

    class Configured(nn.Module):
        pretrained_cfg = {"architecture": "resnet18"}  # noqa: RUF012

    assert name_of(Configured()) == "resnet18"


def test_a_captured_graph_can_be_captured_again_and_keeps_sources() -> None:
    model, x = small(), image()
    once = capture(model, x).graph_module
    twice = capture(once, x).graph_module
    assert torch.equal(twice(x)[0], once(x)[0])
    for first, second in zip(once.graph.nodes, twice.graph.nodes, strict=True):
        assert first.target == second.target or first.op == "placeholder"
        if first.op == "call_function":
            assert first.meta["custom"]["source"] == second.meta["custom"]["source"]
