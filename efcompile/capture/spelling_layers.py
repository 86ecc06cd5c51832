"""Layers with weights, norms, pools, resizing and attention: one overload each, all explicit."""

from collections.abc import Sequence
from math import sqrt
from typing import Any

import torch
from torch.fx import Node

from efcompile.capture.builder import Builder, shape_of
from efcompile.capture.spelling import Call, dtype_of, spelled
from efcompile.errors import CaptureError

aten = torch.ops.aten


def _pair(value: Any) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return [int(v) for v in (values * 2 if len(values) == 1 else values)]


def _conv2d(b: Builder, x: Node, call: Call, padding: Sequence[int], weight: Node) -> Node:
    return b.emit(
        aten.conv2d.default, x, weight, call["bias"], _pair(call["stride"]), list(padding),
        _pair(call["dilation"]), call["groups"],
    )  # fmt: skip


@spelled("conv2d.default", "conv2d.padding", "convolution.default", "_convolution.default")
def conv2d(b: Builder, call: Call) -> Any:
    """Explicit stride, padding, dilation, groups; ``same`` padding that is not symmetric becomes
    a pad in front.  Transposed and other than two-dimensional convolutions stay."""
    x, weight = call["input"], call["weight"]
    if call.named.get("transposed", False) or len(shape_of(weight)) != 4:
        return b.emit(call.target, *call.args, **call.kwargs)
    shape = shape_of(x)
    if len(shape) == 3:  # no batch
        x = b.reshape(x, (1, *shape))
    padding = call["padding"]
    if padding == "valid":
        padding = (0, 0)
    elif padding == "same":
        pairs = zip(shape_of(weight)[2:], _pair(call["dilation"]), strict=True)
        total = [(kernel - 1) * dilation for kernel, dilation in pairs]
        padding = [t // 2 for t in total]
        if any(t % 2 for t in total):
            x = b.emit(aten.constant_pad_nd.default, x, [0, total[1] % 2, 0, total[0] % 2], 0.0)
    return b.reshape(_conv2d(b, x, call, _pair(padding), weight), call.shape)


@spelled("conv1d.default")
def conv1d(b: Builder, call: Call) -> Any:
    """[N, C, L] is an image of height one."""
    x, weight = call["input"], call["weight"]
    *lead, channels, length = shape_of(x)
    rows, inputs, taps = shape_of(weight)
    image = b.reshape(x, (lead[0] if lead else 1, channels, 1, length))
    y = b.emit(
        aten.conv2d.default, image, b.reshape(weight, (rows, inputs, 1, taps)), call["bias"],
        [1, *call["stride"]], [0, *call["padding"]], [1, *call["dilation"]], call["groups"],
    )  # fmt: skip
    return b.reshape(y, call.shape)


@spelled("linear.default")
def linear(b: Builder, call: Call) -> Any:
    return b.emit(aten.linear.default, call["input"], call["weight"], call["bias"])


@spelled("batch_norm.default")
def batch_norm(b: Builder, call: Call) -> Any:
    """Inference only; one that normalises by its own batch stays and nothing will fold it."""
    return b.emit(aten.batch_norm.default, *list(call.named.values())[:8], False)


@spelled("_native_batch_norm_legit_no_training.default")
def native_batch_norm(b: Builder, call: Call) -> Any:
    x, weight, bias, mean, var, momentum, eps = call.named.values()
    y = b.emit(aten.batch_norm.default, x, weight, bias, mean, var, False, momentum, eps, False)
    return [y, None, None]


@spelled("layer_norm.default")
def layer_norm(b: Builder, call: Call) -> Any:
    x, shape, weight, bias, eps = list(call.named.values())[:5]
    return b.emit(aten.layer_norm.default, x, list(shape), weight, bias, eps, False)


@spelled("native_layer_norm.default")
def native_layer_norm(b: Builder, call: Call) -> Any:
    return [layer_norm(b, call), None, None]


@spelled("group_norm.default")
def group_norm(b: Builder, call: Call) -> Any:
    x, groups, weight, bias, eps = list(call.named.values())[:5]
    return b.emit(aten.group_norm.default, x, groups, weight, bias, eps, False)


@spelled("native_group_norm.default")
def native_group_norm(b: Builder, call: Call) -> Any:
    y = b.emit(
        aten.group_norm.default, call["input"], call["group"], call["weight"], call["bias"],
        call["eps"], False,
    )  # fmt: skip
    return [y, None, None]


@spelled("avg_pool2d.default")
def avg_pool2d(b: Builder, call: Call) -> Any:
    """Average pooling; over the whole image it is a mean."""
    x, kernel = call["self"], _pair(call["kernel_size"])
    padding = _pair(call["padding"])
    divisor = call["divisor_override"]
    whole = len(shape_of(x)) == 4 and kernel == list(shape_of(x)[2:])
    if whole and padding == [0, 0] and divisor is None:
        return b.emit(aten.mean.dim, x, [2, 3], True)
    stride = _pair(call["stride"]) if call["stride"] else kernel
    return b.emit(
        aten.avg_pool2d.default, x, kernel, stride, padding, call["ceil_mode"],
        call["count_include_pad"], divisor,
    )  # fmt: skip


@spelled("adaptive_avg_pool2d.default", "_adaptive_avg_pool2d.default")
def adaptive_avg_pool2d(b: Builder, call: Call) -> Any:
    """To one pixel a mean; by whole factors average pooling; to the same size nothing."""
    x = call["self"]
    size, wanted = shape_of(x)[-2:], call.shape[-2:]
    if wanted == (1, 1):
        rank = len(shape_of(x))
        return b.emit(aten.mean.dim, x, [rank - 2, rank - 1], True)
    if wanted == size:
        return x
    if any(s % w for s, w in zip(size, wanted, strict=True)):
        return b.emit(aten._adaptive_avg_pool2d.default, x, list(wanted))
    window = [s // w for s, w in zip(size, wanted, strict=True)]
    return b.emit(aten.avg_pool2d.default, x, window, window, [0, 0], False, True, None)


@spelled("max_pool2d.default")
def max_pool2d(b: Builder, call: Call) -> Any:
    kernel = _pair(call["kernel_size"])
    stride = _pair(call["stride"]) if call["stride"] else kernel
    return b.emit(
        aten.max_pool2d.default, call["self"], kernel, stride, _pair(call["padding"]),
        _pair(call["dilation"]), call["ceil_mode"],
    )  # fmt: skip


@spelled("max_pool2d_with_indices.default")
def max_pool2d_with_indices(b: Builder, call: Call) -> Any:
    """Only the values: a model that reads the indices fails where it does."""
    return [max_pool2d(b, call), None]


@spelled("upsample_bilinear2d.vec", "upsample_bilinear2d.default", "upsample_bicubic2d.vec")
def upsample_linear(b: Builder, call: Call) -> Any:
    op = aten.upsample_bicubic2d if "bicubic" in str(call.target) else aten.upsample_bilinear2d
    return b.emit(
        op.default, call["input" if "input" in call.named else "self"], list(call.shape[2:]),
        bool(call["align_corners"]), *_scales(call),
    )  # fmt: skip


@spelled("upsample_nearest2d.vec", "upsample_nearest2d.default")
def upsample_nearest(b: Builder, call: Call) -> Any:
    x = call["input" if "input" in call.named else "self"]
    return b.emit(aten.upsample_nearest2d.default, x, list(call.shape[2:]), *_scales(call))


def _scales(call: Call) -> tuple[float | None, float | None]:
    if "scale_factors" in call.named:
        height, width = call["scale_factors"] or (None, None)
        return height, width
    return call["scales_h"], call["scales_w"]


@spelled("scaled_dot_product_attention.default")
def attention(b: Builder, call: Call) -> Any:
    """With the scale spelled out. Torch drops here whenever it is told a probability, in eval mode
    too."""
    if call["dropout_p"] > 0:
        raise CaptureError(
            f"{', '.join(b.sources)} draws random numbers: its attention has dropout_p "
            f"{call['dropout_p']} although the model is in eval mode; pass 0 when not training"
        )
    query = call["query"]
    scale = call["scale"]
    if scale is None:
        scale = 1 / sqrt(shape_of(query)[-1])
    extra = {"enable_gqa": True} if call["enable_gqa"] else {}
    return b.emit(
        aten.scaled_dot_product_attention.default, query, call["key"], call["value"],
        call["attn_mask"], 0.0, call["is_causal"], scale=float(scale), **extra,
    )  # fmt: skip


@spelled("softmax.int", "_softmax.default", "_safe_softmax.default")
def softmax(b: Builder, call: Call) -> Any:
    """Over the last dimension, which is brought there if it is another one."""
    x = call["self"]
    dtype = call.named.get("dtype")
    if dtype not in (None, dtype_of(x)):
        x = b.emit(aten.to.dtype, x, dtype)
    rank = len(shape_of(x))
    order = list(range(rank))
    dim = call["dim"] % rank
    order[dim], order[-1] = order[-1], order[dim]
    y = b.emit(aten.softmax.int, b.permute(x, order), rank - 1)
    return b.permute(y, order)
