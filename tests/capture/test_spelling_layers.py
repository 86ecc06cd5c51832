"""Layers: one overload each, with every argument spelled out."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from efcompile.capture import capture
from tests.capture.spellings import Function, random, spelled

CONV, POOL, MEAN = "conv2d.default", "avg_pool2d.default", "mean.dim"
RESHAPE, PERMUTE = "reshape.default", "permute.default"
IMAGE = (2, 4, 6, 8)

W3, W1 = random(5, 4, 3, 2, seed=1), random(7, 6, 3, seed=2)

CASES: dict[str, tuple[Function, list[str]]] = {
    "conv": (lambda x: F.conv2d(x, W3, None, 2, 1), [CONV]),
    "valid": (lambda x: F.conv2d(x, W3, padding="valid"), [CONV]),
    "same": (lambda x: F.conv2d(x, W3, padding="same"), ["constant_pad_nd.default", CONV]),
    "same_odd": (lambda x: F.conv2d(x, W3[..., :1], padding="same"), None),  # type: ignore[dict-item]
    "no_batch": (lambda x: F.conv2d(x[0], W3), ["slice.Tensor", RESHAPE, RESHAPE, CONV, RESHAPE]),
    "conv1d": (lambda x: F.conv1d(x[0], W1, None, 1, 1), None),  # type: ignore[dict-item]
    "layer_norm": (lambda x: F.layer_norm(x, (8,)), ["layer_norm.default"]),
    "group_norm": (lambda x: F.group_norm(x, 2), ["group_norm.default"]),
    "avg_pool": (lambda x: F.avg_pool2d(x, 2), [POOL]),
    "global": (lambda x: F.avg_pool2d(x, (6, 8)), [MEAN]),
    "adaptive": (lambda x: F.adaptive_avg_pool2d(x, 1), [MEAN]),
    "adaptive_same": (lambda x: F.adaptive_avg_pool2d(x, (6, 8)), []),
    "adaptive_half": (lambda x: F.adaptive_avg_pool2d(x, (3, 4)), [POOL]),
    "adaptive_odd": (lambda x: F.adaptive_avg_pool2d(x, 5), ["_adaptive_avg_pool2d.default"]),
    "max_pool": (lambda x: F.max_pool2d(x, 3, 2, 1), ["max_pool2d.default"]),
    "bilinear": (
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
        ["upsample_bilinear2d.default"],
    ),
    "bilinear_size": (
        lambda x: F.interpolate(x, (9, 5), mode="bilinear", align_corners=True),
        ["upsample_bilinear2d.default"],
    ),
    "nearest": (lambda x: F.interpolate(x, scale_factor=1.5), ["upsample_nearest2d.default"]),
    "bicubic": (
        lambda x: F.interpolate(x, (9, 5), mode="bicubic"),
        ["upsample_bicubic2d.default"],
    ),
    "softmax": (lambda x: x.softmax(-1), ["softmax.int"]),
    "softmax_1": (lambda x: x.softmax(1), [PERMUTE, "softmax.int", PERMUTE]),
    "attention": (
        lambda x: F.scaled_dot_product_attention(x, x, x),
        ["scaled_dot_product_attention.default"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_spelling(name: str) -> None:
    function, wanted = CASES[name]
    found = spelled(function, random(*IMAGE))
    if wanted is not None:
        assert found == wanted
    else:
        assert CONV in found and set(found) <= {CONV, RESHAPE, "slice.Tensor"}


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    "linear": (lambda: nn.Linear(8, 3), IMAGE, "linear.default"),
    "batch_norm": (lambda: nn.BatchNorm2d(4), IMAGE, "batch_norm.default"),
    "batch_norm_1d": (lambda: nn.BatchNorm1d(8), (5, 8), "batch_norm.default"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_modules(name: str) -> None:
    make, size, wanted = LAYERS[name]
    assert spelled(make().eval(), random(*size)) == [wanted]


def test_arguments_are_spelled_out() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, groups=2)

        def forward(self, x: Tensor) -> Tensor:
            y = F.avg_pool2d(self.conv(x), 2)
            return F.scaled_dot_product_attention(y, y, y)

    graph = capture(Model(), random(*IMAGE)).graph_module.graph
    conv, pool, attention = [n for n in graph.nodes if n.op == "call_function"]
    assert conv.args[3:] == ([1, 1], [0, 0], [1, 1], 2)
    assert pool.args[1:] == ([2, 2], [2, 2], [0, 0], False, True, None)
    assert attention.args[3:] == (None, 0.0, False)
    assert attention.kwargs == {"scale": pytest.approx(3**-0.5)}


def test_what_is_not_inference_stays_visible() -> None:
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    graph = capture(norm, random(*IMAGE)).graph_module.graph
    (node,) = [n for n in graph.nodes if n.op == "call_function"]
    assert node.target is torch.ops.aten.batch_norm.default and node.args[5] is True
