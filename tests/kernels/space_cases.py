"""Calls large enough for their kernels' knobs to have a choice: odd sizes, batches, epilogues."""

from collections.abc import Callable

import torch

from efcompile.kernels import (
    activation_map,
    affine,
    attention,
    attention_mixed,
    binary,
    conv_direct,
    conv_grouped,
    depthwise,
    ffn,
    gemm,
    group_norm,
    layer_norm,
    matmul,
    mean,
    mlp,
    norm_linear,
    pool,
    pool_linear,
    pool_mixer,
    resize,
    scalar_map,
    separable,
    softmax,
    strided_copy,
)
from efcompile.kernels.kernel import Kernel
from tests.kernels.attention_cases import NOTHING, Case
from tests.kernels.cases import Args, convolution, weights, window


def linear(k: int) -> Args:
    operands = weights(x=(1, 101, k), weight=(197, k), bias=(197,), residual=(1, 101, 197))
    return operands | {"act": "gelu"}


def quartered(**more: object) -> Args:
    """Of two images with rows enough for products in seven."""
    return weights(x=(2, 49, 130), weight=(262, 130), bias=(262,)) | {"act": "gelu", **more}


def feed_forward() -> Args:
    first = weights(x=(2, 51, 20), weight1=(100, 20), bias1=(100,))
    return {**first, **weights(weight2=(53, 100), bias2=(53,), residual=(2, 51, 53)), "act": "gelu"}


def middle(stride: int) -> Args:
    """A feed-forward block with a depthwise middle, of widths that rows side by side divide."""
    first = weights(x=(2, 8, 14, 12), weight1=(36, 12), bias1=(36,))
    last = weights(depthwise=(36, 3, 3, 1), weight2=(37, 36), bias2=(37,))
    steps = {"stride": [stride, stride], "padding": [1, 1], "depthwise_bias": torch.randn(36)}
    return {**first, **last, **steps, "residual": None, "act1": "relu", "act2": "gelu"}


def separable_conv() -> Args:
    first = weights(x=(2, 14, 13, 20), depthwise=(20, 3, 3, 1), depthwise_bias=(20,))
    last = weights(weight=(67, 20), bias=(67,), residual=(2, 14, 13, 67))
    steps = {"stride": [1, 1], "padding": [1, 1], "dilation": [1, 1]}
    return {**first, **last, **steps, "act1": "relu", "act2": "gelu"}


def heads(mixed: bool = False, local: bool = False) -> Args:
    case = Case(batch=2, heads=3, queries=30, keys=30, key_dim=8, value_dim=20)
    args = {**case.args(), **NOTHING, "bias": torch.randn(1, 3, 30, 30), "act": "gelu"}
    if mixed:
        args |= weights(mix1=(3, 3), mix2=(3, 3), mix2_bias=(3,))
    if local:
        args |= weights(local=(60, 3, 3, 1), local_bias=(60,))
        args |= {"local_grid": [5, 6, 1, 1, 1, 1]}
    return args


SPACE_CASES: dict[str, tuple[Kernel, Callable[[], Args]]] = {
    "gemm": (gemm.KERNEL, lambda: linear(20)),
    "gemm_odd": (gemm.KERNEL, lambda: linear(39)),
    "gemm_quartered": (gemm.KERNEL, lambda: quartered(residual=torch.randn(2, 49, 262))),
    "mlp": (mlp.KERNEL, feed_forward),
    "ffn": (ffn.KERNEL, lambda: middle(1)),
    "ffn_stride": (ffn.KERNEL, lambda: middle(2)),
    "separable": (separable.KERNEL, separable_conv),
    "conv_direct": (conv_direct.KERNEL, lambda: convolution((2, 17, 15, 12), (67, 3, 3, 12), 2)),
    "conv_direct_heavy": (
        conv_direct.KERNEL,
        lambda: convolution((1, 7, 7, 96), (333, 3, 3, 96), 1),
    ),
    "conv_direct_quarters": (
        conv_direct.KERNEL,
        lambda: convolution((2, 14, 14, 64), (130, 3, 3, 64), 1),
    ),
    "conv_grouped": (conv_grouped.KERNEL, lambda: convolution((2, 9, 9, 8), (70, 3, 3, 4), 1, 2)),
    "depthwise": (depthwise.KERNEL, lambda: convolution((2, 9, 29, 21), (21, 3, 3, 1), 1, 21)),
    "attention": (attention.KERNEL, heads),
    "attention_local": (attention.KERNEL, lambda: heads(local=True)),
    "attention_mixed": (attention_mixed.KERNEL, lambda: heads(mixed=True)),
    "norm_linear": (
        norm_linear.KERNEL,
        lambda: (
            weights(x=(2, 51, 20), weight=(197, 20), bias=(197,)) | {"eps": 1e-6, "act": "gelu"}
        ),
    ),
    "norm_linear_quartered": (norm_linear.KERNEL, lambda: quartered(eps=1e-6)),
    "pool_mixer": (
        pool_mixer.KERNEL,
        lambda: weights(x=(2, 9, 29, 21), residual=(2, 9, 29, 21), scale=(21,)) | {"kernel": 3},
    ),
    "pool_linear": (
        pool_linear.KERNEL,
        lambda: (
            weights(x=(2, 5, 3, 37), weight=(203, 37), bias=(203,))
            | {"norm": "before", "eps": 1e-5}
        ),
    ),
    "matmul": (matmul.KERNEL, lambda: weights(a=(2, 3, 67, 39), b=(3, 39, 101))),
    "permute": (
        strided_copy.PERMUTE,
        lambda: weights(x=(2, 37, 29, 11)) | {"dims": [0, 2, 3, 1]},
    ),
    "binary": (
        binary.KERNEL,
        lambda: weights(a=(2, 3, 40019), b=(2, 1, 40019)) | {"kind": "mul", "act": "gelu"},
    ),
    "activation_map": (activation_map.KERNEL, lambda: weights(x=(3, 40019)) | {"act": "gelu"}),
    "scalar_map": (
        scalar_map.KERNEL,
        lambda: weights(x=(3, 40019)) | {"multiply": 0.7, "add": -0.3},
    ),
    "affine": (affine.KERNEL, lambda: weights(x=(2, 5, 219), scale=(219,), shift=(219,))),
    "layer_norm": (
        layer_norm.KERNEL,
        lambda: weights(x=(2, 5, 237), weight=(237,), bias=(237,)) | {"eps": 1e-5},
    ),
    "softmax": (softmax.KERNEL, lambda: {"x": 5 * torch.randn(2, 7, 237)}),
    "group_norm": (
        group_norm.KERNEL,
        lambda: weights(x=(1, 23, 17, 15), weight=(15,), bias=(15,)) | {"groups": 1, "eps": 1e-5},
    ),
    "mean": (mean.KERNEL, lambda: weights(x=(2, 17, 301)) | {"dims": [1], "keepdim": False}),
    "pool": (
        pool.MAX,
        lambda: weights(x=(2, 7, 9, 141)) | window(3, 2, ceil_mode=False, dilation=[1, 1]),
    ),
    "resize": (
        resize.KERNEL,
        lambda: (
            weights(x=(2, 5, 7, 141))
            | {"size": [9, 15], "align_corners": False, "scales": []}
            | {"mode": "bilinear", "act": "gelu"}
        ),
    ),
}
"""Kernel and maker of its arguments; the maker draws from torch's global generator."""
