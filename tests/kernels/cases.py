"""At least one small call of every kernel: odd sizes, batches, full epilogues."""

from collections.abc import Callable
from typing import Any

import torch

from efcompile.kernels import (
    activation_map,
    affine,
    attention,
    attention_mixed,
    binary,
    concat,
    conv_direct,
    conv_grouped,
    depthwise,
    ffn,
    gather,
    gemm,
    group_norm,
    layer_norm,
    matmul,
    mean,
    mlp,
    norm_linear,
    pad,
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

Args = dict[str, Any]


def weights(**shapes: tuple[int, ...]) -> Args:
    """Random tensors by argument name."""
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def window(kernel: int, stride: int, **options: Any) -> Args:
    """A square pooling or convolution window, padded by half of it."""
    sizes = {"kernel": kernel, "stride": stride, "padding": kernel // 2}
    return {**{name: [size, size] for name, size in sizes.items()}, **options}


def convolution(
    image: tuple[int, ...], weight: tuple[int, ...], stride: int, groups: int = 1, **options: Any
) -> Args:
    """A padded convolution with bias, gelu and, if `residual` is its shape, residual."""
    args = weights(x=image, weight=weight, bias=weight[:1])
    residual = options.pop("residual", None)
    args |= window(weight[1], stride) | {"dilation": [1, 1], "groups": groups, "act": "gelu"}
    del args["kernel"]
    return args | options | {"residual": None if residual is None else torch.randn(residual)}


def mixed_attention() -> Args:
    case = Case(heads=3, queries=11, keys=19, key_dim=7, layout="planar")
    mixes = weights(mix1=(3, 3), mix2=(3, 3), mix2_bias=(3,), bias=(1, 3, 11, 19))
    return {**case.args(), **mixes}


def head(norm: str) -> Args:
    """A classifier over pooled pixels."""
    return weights(x=(4, 5, 3, 17), weight=(23, 17), bias=(23,)) | {"norm": norm, "eps": 1e-5}


def block(stride: int, **options: Any) -> Args:
    """A pointwise, depthwise, pointwise feed-forward block."""
    first = weights(x=(2, 5, 7, 9), weight1=(21, 9), bias1=(21,))
    middle = weights(depthwise=(21, 3, 3, 1), depthwise_bias=(21,))
    last = weights(weight2=(13, 21), bias2=(13,))
    steps = {"stride": [stride, stride], "padding": [1, 1], "residual": None}
    return {**first, **middle, **last, **steps, **options}


def separable_block(stride: int, **options: Any) -> Args:
    """A depthwise convolution and a 1x1."""
    first = weights(x=(2, 5, 7, 21), depthwise=(21, 3, 3, 1), depthwise_bias=(21,))
    last = weights(weight=(13, 21), bias=(13,))
    steps = {"stride": [stride, stride], "padding": [1, 1], "dilation": [1, 1], "residual": None}
    return {**first, **last, **steps, **options}


def enlarged(mode: str, act: str) -> Args:
    """A resize by unequal factors."""
    size = {"size": [9, 15], "align_corners": False, "scales": []}
    return weights(x=(2, 5, 7, 13)) | size | {"mode": mode, "act": act}


CASES: dict[str, tuple[Kernel, Callable[[], Args]]] = {
    "gemm": (
        gemm.KERNEL,
        lambda: (
            weights(x=(2, 13, 7), weight=(37, 7), bias=(37,), residual=(2, 13, 37))
            | {"act": "gelu"}
        ),
    ),
    "conv_direct": (
        conv_direct.KERNEL,
        lambda: convolution((2, 7, 9, 5), (21, 3, 3, 5), 1, residual=(2, 7, 9, 21)),
    ),
    "conv_direct_stem": (
        conv_direct.KERNEL,
        lambda: convolution((2, 3, 15, 13), (21, 3, 3, 3), 2, nchw_input=True),
    ),
    "depthwise": (
        depthwise.KERNEL,
        lambda: convolution((2, 7, 9, 13), (13, 3, 3, 1), 1, 13, residual=(2, 7, 9, 13)),
    ),
    "depthwise_stride": (
        depthwise.KERNEL,
        lambda: convolution((2, 7, 9, 13), (13, 5, 5, 1), 2, 13, act="hardswish"),
    ),
    "conv_grouped": (
        conv_grouped.KERNEL,
        lambda: convolution((2, 7, 5, 6), (21, 3, 3, 2), 1, 3, residual=(2, 7, 5, 21)),
    ),
    "mlp": (
        mlp.KERNEL,
        lambda: (
            weights(x=(2, 11, 9), weight1=(29, 9), bias1=(29,), weight2=(13, 29), bias2=(13,))
            | {"residual": torch.randn(2, 11, 13), "act": "gelu"}
        ),
    ),
    "ffn": (
        ffn.KERNEL,
        lambda: block(1, act1="gelu", act2="gelu", residual=torch.randn(2, 5, 7, 13)),
    ),
    "ffn_stride": (ffn.KERNEL, lambda: block(2, act1="relu", act2="silu")),
    "separable": (
        separable.KERNEL,
        lambda: separable_block(1, act1="gelu", act2="gelu", residual=torch.randn(2, 5, 7, 13)),
    ),
    "separable_stride": (separable.KERNEL, lambda: separable_block(2, act1="relu", act2="none")),
    "attention": (
        attention.KERNEL,
        lambda: {**NOTHING, **Case(key_dim=7, value_dim=9).args(), **weights(bias=(1, 2, 13, 13))},
    ),
    "attention_local": (
        attention.KERNEL,
        lambda: (
            {**NOTHING, **Case(queries=6, keys=20, layout="separate").args(), "act": "gelu"}
            | weights(local=(24, 3, 3, 1), local_bias=(24,))
            | {"local_grid": [4, 5, 2, 2, 1, 1]}
        ),
    ),
    "attention_planar": (
        attention.KERNEL,
        lambda: {**NOTHING, **Case(queries=5, keys=11, value_dim=9, layout="planar").args()},
    ),
    "attention_mixed": (attention_mixed.KERNEL, mixed_attention),
    "layer_norm": (
        layer_norm.KERNEL,
        lambda: weights(x=(2, 5, 37), weight=(37,), bias=(37,)) | {"eps": 1e-5},
    ),
    "group_norm": (
        group_norm.KERNEL,
        lambda: weights(x=(2, 5, 7, 15), weight=(15,), bias=(15,)) | {"groups": 3, "eps": 1e-5},
    ),
    "norm_linear": (
        norm_linear.KERNEL,
        lambda: weights(x=(2, 11, 19), weight=(37, 19), bias=(37,)) | {"eps": 1e-6, "act": "gelu"},
    ),
    "softmax": (softmax.KERNEL, lambda: {"x": 5 * torch.randn(2, 7, 37)}),
    "pool_avg": (
        pool.AVG,
        lambda: weights(x=(2, 7, 9, 13)) | window(3, 2, ceil_mode=True, count_include_pad=False),
    ),
    "pool_max": (
        pool.MAX,
        lambda: weights(x=(2, 7, 9, 13)) | window(3, 2, ceil_mode=False, dilation=[1, 1]),
    ),
    "pool_mixer": (
        pool_mixer.KERNEL,
        lambda: weights(x=(2, 7, 9, 13), residual=(2, 7, 9, 13), scale=(13,)) | {"kernel": 3},
    ),
    "mean": (mean.KERNEL, lambda: weights(x=(2, 7, 5, 13)) | {"dims": [1, 2], "keepdim": False}),
    "mean_rows": (mean.KERNEL, lambda: weights(x=(2, 7, 29)) | {"dims": [-1], "keepdim": True}),
    "resize_bilinear": (resize.KERNEL, lambda: enlarged("bilinear", "gelu")),
    "resize_nearest": (resize.KERNEL, lambda: enlarged("nearest", "none")),
    "matmul": (matmul.KERNEL, lambda: weights(a=(2, 3, 13, 7), b=(3, 7, 21))),
    "permute": (
        strided_copy.PERMUTE,
        lambda: weights(x=(2, 9, 3, 4, 5)) | {"dims": [2, 0, 3, 1, 4]},
    ),
    "permute_planes": (
        strided_copy.PERMUTE,
        lambda: weights(x=(2, 13, 5, 7)) | {"dims": [0, 2, 3, 1]},
    ),
    "permute_image": (
        strided_copy.PERMUTE,
        lambda: weights(x=(2, 3, 9, 11)) | {"dims": [0, 2, 3, 1]},
    ),
    "binary": (
        binary.KERNEL,
        lambda: weights(a=(2, 5, 19), b=(2, 1, 19)) | {"kind": "mul", "act": "gelu"},
    ),
    "affine": (affine.KERNEL, lambda: weights(x=(2, 5, 19), scale=(19,), shift=(19,))),
    "pool_linear": (pool_linear.KERNEL, lambda: head("none")),
    "pool_linear_before": (pool_linear.KERNEL, lambda: head("before")),
    "pool_linear_after": (pool_linear.KERNEL, lambda: head("after")),
    "activation_map": (activation_map.KERNEL, lambda: weights(x=(2, 5, 19)) | {"act": "gelu"}),
    "scalar_map": (
        scalar_map.KERNEL,
        lambda: weights(x=(2, 5, 19)) | {"multiply": 0.7, "add": -0.3},
    ),
    "slice": (
        strided_copy.SLICE,
        lambda: weights(x=(2, 9, 5, 7)) | {"dim": 1, "start": 0, "end": 9, "step": 2},
    ),
    "expand": (strided_copy.EXPAND, lambda: weights(x=(2, 1, 19)) | {"shape": [3, 2, 5, 19]}),
    "concat": (
        concat.KERNEL,
        lambda: {"tensors": [torch.randn(2, 5, 7), torch.randn(2, 3, 7)], "dim": 1},
    ),
    "gather": (
        gather.KERNEL,
        lambda: weights(x=(2, 9, 7)) | {"index": torch.tensor([[8, 0, 3], [1, 1, 2]]), "dim": 1},
    ),
    "pad": (pad.KERNEL, lambda: weights(x=(2, 5, 7, 9)) | {"pads": [0, 0, 1, 2], "value": 0.5}),
}
"""Kernel and maker of its arguments; the maker draws from torch's global generator."""

CONSTANTS = (
    "weight", "bias", "scale", "shift", "mix1", "mix2", "mix2_bias", "local", "local_bias",
    "weight1", "bias1", "weight2", "bias2", "depthwise", "depthwise_bias", "index",
)  # fmt: skip
"""Tensor arguments that are constants in models."""
