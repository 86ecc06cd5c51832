"""What lies between the two products, read step by step."""

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from efcompile import ops
from efcompile.passes.attention_logits import Logits, read_logits, read_mix
from efcompile.passes.legalise import Legalise
from efcompile.passes.rewriting import is_op
from tests.passes.attention_models import H, TalkingHeads
from tests.passes.dialect import after, captured, image


def softmax_operand(graph_module: GraphModule) -> Node:
    (softmax,) = [n for n in graph_module.graph.nodes if is_op(n, "softmax")]
    operand: Node = ops.arguments(softmax)["x"]
    return operand


def test_reads_talking_heads() -> None:
    model = TalkingHeads((3, 5))
    graph_module = after([Legalise()], captured(model, image(2, 3, 3, 5)))
    logits = read_logits(graph_module, softmax_operand(graph_module))
    assert isinstance(logits, Logits) and logits.mix is not None and logits.bias is not None
    weight = model.mix1.weight.detach().reshape(H, H)
    assert model.mix1.bias is not None
    bias = torch.einsum("gh,hqk->gqk", weight, model.bias) + model.mix1.bias[:, None, None]
    torch.testing.assert_close(logits.mix, weight)
    torch.testing.assert_close(logits.bias, bias.detach()[None])
    assert logits.scale == 0.5 and is_op(logits.product, "matmul")


def test_reads_a_mix() -> None:
    model = TalkingHeads((3, 5))
    graph_module = after([Legalise()], captured(model, image(2, 3, 3, 5)))
    mix = read_mix(graph_module, softmax_operand(graph_module))
    assert mix is not None and mix.bias is not None
    torch.testing.assert_close(mix.weight, model.mix1.weight.detach().reshape(H, H))
    assert read_mix(graph_module, mix.x) is None


class Steps(nn.Module):
    """(2 s + 1 + b) * 3 + 4 of a rank-3 product."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.randn(5, 5))

    def forward(self, x: Tensor) -> Tensor:
        logits = ((x @ x.mT * 2 + 1) + self.bias) * 3 + 4
        return logits.softmax(-1) @ x


def test_collects_scales_and_biases() -> None:
    model = Steps()
    graph_module = after([Legalise()], captured(model, image(2, 5, 4)))
    logits = read_logits(graph_module, softmax_operand(graph_module))
    assert isinstance(logits, Logits) and logits.mix is None and logits.bias is not None
    assert logits.scale == 6
    want = (1 + model.bias.detach()) * 3 + 4
    torch.testing.assert_close(logits.bias.expand(1, 1, 5, 5), want[None, None])


class Masked(nn.Module):
    """A bias that depends on the input."""

    def forward(self, x: Tensor) -> Tensor:
        return (x @ x.mT + x.mean(-1, keepdim=True)).softmax(-1) @ x


def test_a_computed_bias_is_a_reason() -> None:
    graph_module = after([Legalise()], captured(Masked(), image(2, 5, 4)))
    found = read_logits(graph_module, softmax_operand(graph_module))
    assert isinstance(found, str) and "computed while running" in found


class Image(nn.Module):
    """A softmax that is no attention."""

    def forward(self, x: Tensor) -> Tensor:
        return x.exp().softmax(-1)


def test_no_product_is_no_attention() -> None:
    graph_module = after([Legalise()], captured(Image(), image(2, 5, 4)))
    assert read_logits(graph_module, softmax_operand(graph_module)) is None
