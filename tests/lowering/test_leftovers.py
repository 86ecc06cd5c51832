from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from efcompile.errors import UnsupportedOpError
from efcompile.lowering.leftovers import Leftover, lower_group
from tests.lowering.leftover_runner import HOST, captured, leftover_nodes, lower_all, run

Operations = dict[str, Callable[[Tensor], Tensor]]

ACTIVATIONS: Operations = {
    "celu": lambda x: F.celu(x, 0.5),
    "clamp": lambda x: x.clamp(-0.5, None),
    "elu": lambda x: F.elu(x, 0.3),
    "gelu": lambda x: F.gelu(x),
    "hardshrink": lambda x: F.hardshrink(x),
    "hardtanh": lambda x: F.hardtanh(x, -0.2, 0.7),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "logsigmoid": lambda x: F.logsigmoid(x),
    "mish": lambda x: F.mish(x),
    "prelu": lambda x: F.prelu(x, torch.linspace(0.1, 0.6, 6)),
    "relu6": lambda x: F.relu6(x * 5),
    "selu": lambda x: F.selu(x),
    "softplus": lambda x: F.softplus(x, 2.0),
    "softsign": lambda x: F.softsign(x),
    "threshold": lambda x: F.threshold(x, 0.1, 0.2),
}

ARITHMETIC: Operations = {
    "addcmul": lambda x: torch.addcmul(x, x, x, value=2),
    "alpha": lambda x: torch.sub(x, x.flip(1), alpha=3),
    "bool_sum": lambda x: (x > 0).sum(1) * x[:, 0],
    "compare": lambda x: torch.where((x > 0.1) & (x <= 1) | (x < -1), x, -2 * x),
    "divide_floor": lambda x: torch.div(x, 0.7, rounding_mode="floor"),
    "divide_trunc": lambda x: torch.div(x, -0.7, rounding_mode="trunc"),
    "integers": lambda x: torch.arange(7) * (x * 3).long() / 2,
    "lerp": lambda x: torch.lerp(x, x.flip(2), 0.3),
    "masked_fill": lambda x: x.masked_fill(x > 0, -1.0),
    "power": lambda x: x.abs() ** 1.3 + 2.0**x + x**2,
    "remainder": lambda x: x % 0.7 + torch.fmod(x, 0.7),
    "round": lambda x: torch.round(x * 4) + torch.ceil(x) + torch.sign(x) + torch.trunc(x * 2),
    "reversed": lambda x: 1 - x,
    "trigonometry": lambda x: torch.atan2(x.sin(), x.cos()) + x.tanh().asin() + torch.log1p(x * x),
}

REDUCTIONS: Operations = {
    "adaptive_pool_2d": lambda x: F.adaptive_avg_pool2d(x, 3),
    "adaptive_pool_3d": lambda x: F.adaptive_avg_pool3d(x[:, None], (4, 2, 3)),
    "amax": lambda x: x.amax((1, 2)) + x.amin((1, 2)),
    "any_all": lambda x: ((x > 1).any(1) | (x < 1).all(1)).float(),
    "average_pool": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "average_pool_inside": lambda x: F.avg_pool2d(x, (2, 3), 1, 1, count_include_pad=False),
    "cumsum": lambda x: x.cumsum(2),
    "group_norm": lambda x: F.group_norm(x, 3, torch.linspace(1, 2, 6), torch.linspace(0, 1, 6)),
    "instance_norm": lambda x: F.instance_norm(x),
    "layer_norm": lambda x: F.layer_norm(x, (5, 7)),
    "log_softmax": lambda x: F.log_softmax(x, -1),
    "logsumexp": lambda x: x.logsumexp(1),
    "maximum": lambda x: x.max(1).values - x.min(2, keepdim=True).values[:, :, 0].mean(),
    "max_pool": lambda x: F.max_pool2d(x, 3, 2, 1),
    "normalize": lambda x: F.normalize(x, dim=1),
    "product": lambda x: x.prod(1),
    "rms_norm": lambda x: F.rms_norm(x, (7,)),
    "softmax": lambda x: F.softmax(x, 1),
    "standard_deviation": lambda x: x.std(1) + x.var((1, 2), correction=0, keepdim=True)[:, 0],
    "sums": lambda x: x.sum() + x.mean((0, 3)),
}

MOVEMENT: Operations = {
    "bicubic": lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
    "bilinear": lambda x: F.interpolate(x, size=(9, 9), mode="bilinear"),
    "chunks": lambda x: torch.cat(x.chunk(3, 1), 2),
    "embedding": lambda x: F.embedding(torch.tensor([[2, 0], [1, 1]]), x[0, 0]),
    "gather": lambda x: x[:, :2].gather(1, (x[:, :2] > 0).long()),
    "grid_sample": lambda x: F.grid_sample(
        x, x[:, :2].tanh().permute(0, 2, 3, 1), align_corners=True
    ),
    "index": lambda x: x[:, [0, -1, 2]],
    "index_pairs": lambda x: x[:, :, torch.tensor([0, 1]), torch.tensor([2, -1])],
    "index_apart": lambda x: x[torch.tensor([0, 1]), :, torch.tensor([3, -1])],
    "nearest": lambda x: F.interpolate(x, size=(9, 3)),
    "negative_pad": lambda x: F.pad(x, (-1, 2, 1, -2), value=0.5),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x[:, :4], 2),
    "reflect": lambda x: F.pad(x, (1, 1, 2, 2), mode="reflect"),
    "repeat": lambda x: x.repeat(1, 2, 1, 1),
    "replicate": lambda x: F.pad(x, (1, 0, 2, 2), mode="replicate"),
    "roll": lambda x: torch.roll(x, (1, 2), (2, 3)),
    "strides": lambda x: x[:, 1::2, -3:, ::3],
    "tril": lambda x: x.tril(),
    "unfold": lambda x: F.unfold(x, 3),
}  # fmt: skip

PRODUCTS: Operations = {
    "addmm": lambda x: torch.addmm(x[0, 0, 0, :5], x[0, 0], x[0, 1].t(), beta=0.5, alpha=2.0),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "conv1d": lambda x: F.conv1d(x[:, :, 0], _weight(4, 6, 3), padding=1),
    "conv3d": lambda x: F.conv3d(x[:, None], _weight(3, 1, 2, 2, 2)),
    "conv_transpose": lambda x: F.conv_transpose2d(
        x, _weight(6, 4, 3, 3), torch.ones(4), stride=2, padding=1, output_padding=1
    ),
    "depthwise": lambda x: F.conv2d(x, _weight(6, 1, 3, 3), groups=6, dilation=2, padding=2),
    "einsum": lambda x: torch.einsum("bchw,bdhw->bcd", x, x),
    "matmul": lambda x: x @ x.transpose(2, 3),
}


def _weight(*shape: int) -> Tensor:
    return torch.linspace(-1, 1, int(np.prod(shape))).reshape(shape)


@pytest.mark.parametrize(
    "operations",
    [ACTIVATIONS, ARITHMETIC, REDUCTIONS, MOVEMENT, PRODUCTS],
    ids=["activations", "arithmetic", "reductions", "movement", "products"],
)
def test_matches_torch(operations: Operations) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 6, 5, 7)
    lowered = lower_all(lambda x: tuple(op(x) for op in operations.values()), [x])
    results = run(lowered, [x])
    assert len(results) == len(operations)
    for (name, op), got in zip(operations.items(), results, strict=True):
        _close(got, op(x), name)


def _close(got: Any, wanted: Tensor, name: str) -> None:
    assert got.shape == tuple(wanted.shape), name
    error = np.abs(got - wanted.numpy()).max() / wanted.abs().max().item()
    assert error < 1e-5, f"{name}: {error:.1e}"


def test_fuses_and_shares_code() -> None:
    x = torch.randn(2, 3, 16, 16)
    lowered = lower_all(lambda x: F.silu(torch.sigmoid(x * 2 + 1).exp() - x), [x])
    assert len(lowered.calls) <= 2
    assert lowered.calls[0].tasks > HOST.cores
    twice = lower_all(lambda x: x.cumsum(3).exp().cumsum(3), [x])
    symbols = [call.symbol for call in twice.calls]
    assert len(symbols) == 3 and symbols[0] == symbols[2]


def test_nan_and_infinity_go_through() -> None:
    x = torch.randn(1, 2, 6, 6)
    x[0, 0, 2, 2], x[0, 1, 3, :2], x[0, 1, :, 4] = float("nan"), float("inf"), float("-inf")

    def operations(x: Tensor) -> tuple[Tensor, ...]:
        return (
            x.clamp(-1, 1), F.relu6(x), F.max_pool2d(x, 3, 2, 1), x.amax(2), x.amin(2),
            torch.maximum(x, x.flip(3)), F.softmax(x, 3), torch.minimum(x, x.flip(2)),
        )  # fmt: skip

    for got, wanted in zip(run(lower_all(operations, [x]), [x]), operations(x), strict=True):
        np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-5, atol=1e-6)


def test_a_dialect_op_goes_through_its_reference() -> None:
    x, other = torch.randn(2, 5, 6, 3), torch.randn(1, 1, 6, 1)

    def module(x: Tensor, other: Tensor) -> Any:
        return torch.ops.efcompile.binary(x, other, "div", "gelu")

    lowered = lower_all(module, [x, other])
    _close(run(lowered, [x, other])[0], module(x, other), "binary")


def test_part_of_a_graph_reads_constants_and_other_nodes() -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Parameter(torch.randn(1, 5, 1))

        def forward(self, x: Tensor) -> Tensor:
            middle = (x + 1).cumsum(1) * self.table
            return middle.sin() + middle

    model, x = Model(), torch.randn(2, 5, 4)
    graph_module = captured(model, [x])
    nodes = leftover_nodes(graph_module)
    lowered = lower_group(graph_module, nodes[1:3], HOST)
    assert [node.name for node in lowered.inputs] == [nodes[0].name]
    assert list(lowered.outputs) == [nodes[2]]
    assert len(lowered.constants) == 1
    wanted = (x + 1).cumsum(1) * model.table.detach()
    _close(run(lowered, [x + 1])[0], wanted, "middle")


def test_values_of_nothing_but_constants_need_no_code() -> None:
    lowered: Leftover = lower_all(lambda x: (x * 2, torch.arange(5.0) + 1), [torch.randn(3)])
    assert len(lowered.calls) == 1
    np.testing.assert_array_equal(run(lowered, [torch.randn(3)])[1], np.arange(5.0) + 1)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (lambda x: F.avg_pool2d(x, 2, divisor_override=3), "divisor_override"),
        (lambda x: F.max_pool2d(x, 2, return_indices=True)[1], "indices of max_pool2d"),
        (lambda x: x.sort(1).values, "aten.sort"),
        (lambda x: torch.fft.fft(x).real, "aten._fft_r2c"),
    ],
)
def test_refuses_what_would_be_wrong(module: Callable[[Tensor], Tensor], reason: str) -> None:
    with pytest.raises(UnsupportedOpError, match=reason):
        lower_all(module, [torch.randn(1, 4, 6, 6)])
