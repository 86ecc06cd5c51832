"""legalise: any node alone becomes dialect ops; what has no rule stays, and is said."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from efcompile.passes.legalise import Legalise
from tests.passes.dialect import captured, check_pass, counts, image, reasons

Function = Callable[[Tensor], Tensor]


class Plain(nn.Module):
    """A function as a module."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


IMAGE, TOKENS = (2, 4, 9, 7), (2, 5, 6)
MODULES: dict[str, tuple[nn.Module, tuple[int, ...], dict[str, int]]] = {
    "conv": (nn.Conv2d(4, 6, 3, 2, 1), IMAGE, {"permute": 2, "conv2d": 1}),
    "grouped": (nn.Conv2d(4, 8, (3, 5), 1, (1, 2), groups=2), IMAGE, {"permute": 2, "conv2d": 1}),
    "same": (nn.Conv2d(4, 8, 3, padding="same"), IMAGE, {"permute": 2, "conv2d": 1}),
    "conv1d": (nn.Conv1d(5, 8, 3, 2, 1), TOKENS, {"permute": 2, "conv2d": 1, "reshape": 2}),
    "linear": (nn.Linear(6, 3), TOKENS, {"linear": 1}),
    "batch_norm": (nn.BatchNorm2d(4), IMAGE, {"permute": 2, "affine": 1}),
    "batch_norm_1d": (nn.BatchNorm1d(5), TOKENS, {"permute": 2, "affine": 1}),
    "batch_norm_rows": (nn.BatchNorm1d(6), (5, 6), {"affine": 1}),
    "layer_norm": (nn.LayerNorm(6), TOKENS, {"layer_norm": 1}),
    "layer_norm_2": (nn.LayerNorm((5, 6)), TOKENS, {"layer_norm": 1, "reshape": 2}),
    "group_norm": (nn.GroupNorm(2, 4), IMAGE, {"permute": 2, "group_norm": 1}),
    "softmax": (nn.Softmax(-1), TOKENS, {"softmax": 1}),
    "softmax_1": (nn.Softmax(1), TOKENS, {"softmax": 1, "permute": 2}),
    "gelu": (nn.GELU(), TOKENS, {"activation": 1}),
    "gelu_tanh": (nn.GELU("tanh"), TOKENS, {"activation": 1}),
    "relu6": (nn.ReLU6(), TOKENS, {"activation": 1}),
    "silu": (nn.SiLU(), TOKENS, {"activation": 1}),
    "hardswish": (nn.Hardswish(), TOKENS, {"activation": 1}),
    "hardsigmoid": (nn.Hardsigmoid(), TOKENS, {"activation": 1}),
    "hardtanh": (nn.Hardtanh(-0.5, 0.7), TOKENS, {"binary": 2}),
    "avg_pool": (
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        IMAGE,
        {"permute": 2, "avg_pool2d": 1},
    ),
    "max_pool": (nn.MaxPool2d(3, 2, 1), IMAGE, {"permute": 2, "max_pool2d": 1}),
    "adaptive": (nn.AdaptiveAvgPool2d((3, 1)), IMAGE, {"permute": 2, "avg_pool2d": 1}),
    "nearest": (nn.Upsample(scale_factor=2), IMAGE, {"permute": 2, "resize": 1}),
    "bilinear": (
        nn.Upsample((12, 11), mode="bilinear", align_corners=True),
        IMAGE,
        {"permute": 2, "resize": 1},
    ),
    "shuffle": (nn.PixelShuffle(2), IMAGE, {"permute": 1, "reshape": 2}),
    "pad": (nn.ConstantPad2d((1, 2, 0, 1), 0.5), IMAGE, {"pad": 1}),
}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_module(name: str) -> None:
    module, shape, want = MODULES[name]
    graph_module = captured(module, image(*shape))
    outcome = check_pass(Legalise(), graph_module, image(*shape))
    assert counts(graph_module) == want
    assert outcome.refused == ()


FUNCTIONS: dict[str, tuple[Function, tuple[int, ...], dict[str, int]]] = {
    "add_number": (lambda x: x + 2, TOKENS, {"scalar": 1}),
    "nothing": (lambda x: (0 + x * 1).exp(), TOKENS, {"activation": 1}),
    "scaled_add": (
        lambda x: torch.add(x, x.exp(), alpha=0.5),
        TOKENS,
        {"activation": 1, "scalar": 1, "binary": 1},
    ),
    "sub_from_number": (lambda x: 1 - x, TOKENS, {"scalar": 2}),
    "sub_number": (lambda x: x - 3.5, TOKENS, {"scalar": 1}),
    "number_over": (lambda x: 2 / (x * x + 1), TOKENS, {"binary": 2, "scalar": 2}),
    "divide": (lambda x: x / 7, TOKENS, {"scalar": 1}),
    "divide_by_zero": (lambda x: (x / 0).sigmoid(), TOKENS, {"binary": 1, "activation": 1}),
    "square": (lambda x: x**2, TOKENS, {"binary": 1}),
    "maximum": (lambda x: torch.maximum(x, -x), TOKENS, {"scalar": 1, "binary": 1}),
    "clamp": (lambda x: x.clamp(-0.3, 0.4), TOKENS, {"binary": 2}),
    "clamp_low": (lambda x: x.clamp(min=0), TOKENS, {"activation": 1}),
    "mean": (lambda x: x.mean((2, 3), keepdim=True), IMAGE, {"mean": 1, "reshape": 1}),
    "mean_all": (lambda x: x.mean(), IMAGE, {"mean": 1}),
    "sum": (lambda x: x.sum(1), TOKENS, {"mean": 1, "scalar": 1}),
    "slice": (lambda x: x[:, 1:-1, ::2], TOKENS, {"slice": 2}),
    "roll": (lambda x: x.roll((1, -2), (1, 2)), TOKENS, {"slice": 4, "concat": 2}),
    "cat": (lambda x: torch.cat([x, x.exp()], 1), TOKENS, {"activation": 1, "concat": 1}),
    "stack": (
        lambda x: torch.stack([x, x.exp()], 1),
        TOKENS,
        {"activation": 1, "reshape": 2, "concat": 1},
    ),
    "expand": (lambda x: x[:, :1].expand(-1, 3, -1), TOKENS, {"slice": 1, "expand": 1}),
    "gather": (lambda x: x[:, [3, -1, 0]], TOKENS, {"gather": 1}),
    "unshuffle": (lambda x: F.pixel_unshuffle(x, 2), (2, 3, 4, 6), {"permute": 1, "reshape": 2}),
    "matmul": (lambda x: x @ x.mT, TOKENS, {"permute": 1, "matmul": 1}),
    "matmul_broadcast": (
        lambda x: x[0] @ x.mT,
        TOKENS,
        {"slice": 1, "permute": 1, "expand": 1, "matmul": 1},
    ),
    "attention": (
        lambda x: F.scaled_dot_product_attention(x, x, x),
        TOKENS,
        {"attention": 1, "reshape": 2, "permute": 1},
    ),
    "causal": (
        lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True, scale=0.7),
        (2, 3, 5, 4),
        {"attention": 1, "reshape": 1, "permute": 1},
    ),
}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_function(name: str) -> None:
    function, shape, want = FUNCTIONS[name]
    graph_module = captured(Plain(function), image(*shape))
    outcome = check_pass(Legalise(), graph_module, image(*shape))
    found = counts(graph_module)
    assert {k: v for k, v in found.items() if k in want} == want, found
    assert set(found) <= {*want, "reshape"}, found
    assert outcome.refused == ()


def test_mask_becomes_a_bias() -> None:
    mask = torch.rand(2, 3, 5, 5) > 0.3
    mask[..., 0] = True
    module = Plain(lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=mask))
    graph_module = captured(module, image(2, 3, 5, 4))
    check_pass(Legalise(), graph_module, image(2, 3, 5, 4))
    assert "attention" in counts(graph_module)


LEFTOVERS: dict[str, tuple[Function, tuple[int, ...], str]] = {
    "bicubic": (
        lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
        IMAGE,
        "no channels-last op for aten.upsample_bicubic2d",
    ),
    "power": (lambda x: x.abs() ** 3, TOKENS, "no channels-last op for aten.pow"),
    "uneven_pool": (
        lambda x: F.adaptive_avg_pool2d(x, 4),
        IMAGE,
        "no channels-last op for aten._adaptive_avg_pool2d",
    ),
    "reflect": (
        lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
        IMAGE,
        "goes through TVM's importer",
    ),
    "doubles": (lambda x: x.double().exp().float(), TOKENS, "it computes in torch.float64"),
    "two_indices": (lambda x: x[[0, 1], [1, 2]], TOKENS, "2 index tensors"),
    "transposed": (nn.ConvTranspose2d(4, 3, 2, 2), IMAGE, "no channels-last op for aten.conv"),
    "weight_from_input": (
        lambda x: F.linear(x[0], x[1]),
        TOKENS,
        "its weight is computed while running",
    ),
    "mask_from_input": (
        lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=x @ x.mT),
        TOKENS,
        "its mask is computed while running",
    ),
}


@pytest.mark.parametrize("name", sorted(LEFTOVERS))
def test_leftover(name: str) -> None:
    function, shape, reason = LEFTOVERS[name]
    module = function if isinstance(function, nn.Module) else Plain(function)
    graph_module = captured(module, image(*shape))
    outcome = check_pass(Legalise(), graph_module, image(*shape))
    assert reason in reasons(outcome) and "goes through TVM's importer" in reasons(outcome)


def test_weights_are_relaid_once_and_named_after_theirs() -> None:
    graph_module = captured(nn.Sequential(nn.Conv2d(4, 6, (3, 1))), image(*IMAGE))
    check_pass(Legalise(), graph_module, image(*IMAGE))
    shapes = {name: tuple(value.shape) for name, value in graph_module.named_buffers()}

    assert (6, 3, 1, 4) in shapes.values() and (6, 4, 3, 1) not in shapes.values()
