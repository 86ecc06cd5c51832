"""torch's own decompositions, and ours, down to ops whose import is tested.

TVM's importer drops or misreads many options without a word (`alpha` of an addition, a
positional bound of `hardtanh`, the type of an integer mean ...).  So everything is first
decomposed in torch, where it is right, until only `PRIMITIVES` are left; what cannot be
decomposed is refused.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions, get_decompositions

aten, prims = torch.ops.aten, torch.ops.prims


def _names(text: str) -> list[str]:
    return text.split()


_UNARY = _names(
    "abs asin atan bitwise_not ceil clone cos cosh erf exp floor isinf isnan log log10 log1p log2 "
    "logical_not neg reciprocal relu round rsqrt sigmoid sign sin sinh sqrt tan tanh trunc"
)

_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")

_BINARY = [
    *(f"{op}.Tensor" for op in ("add", "sub", "mul", "div", "fmod", "remainder", *_COMPARISONS)),
    *(f"{op}.Scalar" for op in ("add", "sub", "mul", "div", "fmod", "remainder", *_COMPARISONS)),
    *(f"pow.{kind}" for kind in ("Tensor_Tensor", "Tensor_Scalar", "Scalar")),
    *(f"bitwise_{op}.Tensor" for op in ("and", "or", "xor")),
    *(f"{op}.default" for op in ("maximum", "minimum", "atan2")),
]

_OTHERS = _names(
    "_adaptive_avg_pool2d.default _adaptive_avg_pool3d.default _log_softmax.default "
    "_softmax.default _to_copy.default amax.default amin.default any.dim avg_pool2d.default "
    "bmm.default cat.default clamp.default constant_pad_nd.default convolution.default "
    "cumsum.default expand.default flip.default full_like.default "
    "index_select.default logical_and.default logical_or.default logical_xor.default "
    "max_pool2d_with_indices.default mean.default mean.dim mm.default permute.default "
    "prod.dim_int slice.Tensor split_with_sizes.default squeeze.dim squeeze.dims "
    "sum.dim_IntList unsqueeze.default var.correction view.default where.self"
)

PRIMITIVES = frozenset(
    [f"aten.{op}.default" for op in _UNARY] + [f"aten.{op}" for op in _BINARY + _OTHERS]
)
"""The ops whose import is tested: nothing else reaches the importer."""

_FROM_TORCH = _names(
    "_native_batch_norm_legit_no_training _prelu_kernel addcdiv addcmul addmm all baddbmm celu elu "
    "expm1 gelu glu grid_sampler_2d hardshrink hardsigmoid hardswish hardtanh im2col leaky_relu "
    "lerp linalg_vector_norm log_sigmoid_forward logit logsumexp masked_fill mish nan_to_num "
    "native_batch_norm native_layer_norm reflection_pad2d repeat "
    "replication_pad2d roll rsub silu softplus softshrink std threshold tril triu unfold "
    "upsample_bicubic2d upsample_bilinear2d upsample_nearest2d var_mean"
)
"""Ops outside torch's core table that are decomposed by torch too."""


@cache
def decompositions() -> dict[Any, Callable[..., Any]]:
    """Overload -> what computes it from simpler ops (or returns NotImplemented: it is simple)."""
    table: dict[Any, Callable[..., Any]] = {**core_aten_decompositions()}
    table.update(get_decompositions([getattr(aten, op) for op in _FROM_TORCH]))
    table = {op: run for op, run in table.items() if str(op) not in PRIMITIVES}
    for name in _BINARY:
        packet, overload = name.split(".")
        operation = getattr(getattr(aten, packet), overload)
        table[operation] = _promoted(operation)
    table |= {
        aten.add.Tensor: _scaled(aten.add.Tensor),
        aten.add.Scalar: _scaled(aten.add.Scalar),
        aten.sub.Tensor: _scaled(aten.sub.Tensor),
        aten.sub.Scalar: _scaled(aten.sub.Scalar),
        aten.div.Tensor_mode: _div_mode,
        aten.index.Tensor: _index,
        aten._unsafe_index.Tensor: _index,
        aten.constant_pad_nd.default: _pad,
        aten.gather.default: _gather,
        aten.native_group_norm.default: _group_norm,
        aten.embedding.default: lambda weight, index, *options: _index(weight, [index]),
        aten.select.int: lambda x, dim, index: aten.squeeze.dim(
            x.narrow(dim, index % x.shape[dim], 1), dim
        ),
        aten.max.dim: lambda x, dim, keepdim=False: (
            aten.amax(x, [dim], keepdim),
            aten.argmax(x, dim, keepdim),
        ),
        aten.min.dim: lambda x, dim, keepdim=False: (
            aten.amin(x, [dim], keepdim),
            aten.argmin(x, dim, keepdim),
        ),
        aten.mean.dim: _mean,
        prims.broadcast_in_dim.default: _broadcast_in_dim,
        prims.div.default: lambda a, b: aten.div(a, b),
        prims.expm1.default: lambda x: aten.sub(aten.exp(x), 1.0),
        prims.sum.default: lambda x, dims, *, output_dtype=None: aten.sum(
            x, dims, dtype=output_dtype
        ),
        prims.var.default: lambda x, dims, correction=1.0, *, output_dtype=None: aten.var(
            x, dims, correction=correction
        ),
    }
    return table


def _promoted(op: Any) -> Callable[..., Any]:
    """Operands of different types are cast first, to the type torch computes in."""

    def run(a: Any, b: Any) -> Any:
        dtype = torch.result_type(a, b)
        if op in (aten.div.Tensor, aten.div.Scalar) and not dtype.is_floating_point:
            dtype = torch.get_default_dtype()
        operands = [x.to(dtype) if isinstance(x, Tensor) else x for x in (a, b)]
        if all(x is y for x, y in zip(operands, (a, b), strict=True)):
            return NotImplemented
        return op(*operands)

    return run


def _scaled(op: Any) -> Callable[..., Any]:
    """Addition and subtraction with their `alpha` multiplied out."""
    plain = _promoted(op)

    def run(a: Any, b: Any, alpha: Any = 1) -> Any:
        return plain(a, b) if alpha == 1 else op(a, b * alpha)

    return run


def _div_mode(a: Any, b: Any, *, rounding_mode: str | None) -> Tensor:
    quotient = torch.div(a, b)
    if rounding_mode is None:
        return quotient
    return torch.floor(quotient) if rounding_mode == "floor" else torch.trunc(quotient)


def _mean(x: Tensor, dims: Any, keepdim: bool = False, *, dtype: Any = None) -> Any:
    if dtype is None or dtype == x.dtype:
        return NotImplemented
    return aten.mean.dim(x.to(dtype), dims, keepdim)


def _pad(x: Tensor, pads: Any, value: float = 0) -> Any:
    if min(pads) >= 0:
        return NotImplemented
    for d, (before, after) in enumerate(zip(pads[::2], pads[1::2], strict=True)):
        start, stop = max(0, -before), x.shape[-1 - d] - max(0, -after)
        x = x.narrow(x.dim() - 1 - d, start, stop - start)
    return aten.constant_pad_nd(x, [max(0, amount) for amount in pads], value)


def _broadcast_in_dim(x: Tensor, shape: Any, dims: Any) -> Tensor:
    padded = [1] * len(shape)
    for size, dim in zip(x.shape, dims, strict=True):
        padded[dim] = size
    return x.reshape(padded).expand(list(shape))


def _index(x: Tensor, indices: Any) -> Any:
    """Indexing by integer tensors as one `index_select` by their flat index."""
    given = [d for d, index in enumerate(indices) if index is not None]
    if any(indices[d].dtype in (torch.bool, torch.uint8) for d in given):
        return NotImplemented  # the result's size depends on the data
    if given != list(range(given[0], given[-1] + 1)):
        rest = [d for d in range(x.dim()) if d not in given]
        return _index(x.permute(given + rest), [indices[d] for d in given])
    flat: Any = 0
    for d in given:
        index = indices[d].to(torch.int64)
        flat = flat * x.shape[d] + torch.where(index < 0, index + x.shape[d], index)
    before, after = x.shape[: given[0]], x.shape[given[-1] + 1 :]
    merged = x.reshape(*before, -1, *after)
    taken = torch.index_select(merged, given[0], flat.reshape(-1))
    return taken.reshape(*before, *flat.shape, *after)


def _gather(x: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Any:
    """Every dimension indexed: `dim` by `index`, the others by their own positions."""
    grid = [
        torch.arange(size).reshape([-1 if d == axis else 1 for d in range(x.dim())])
        for axis, size in enumerate(index.shape)
    ]
    grid[dim] = index
    return _index(x, grid)


def _group_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    batch: int,
    channels: int,
    positions: int,
    groups: int,
    eps: float,
) -> Any:
    """torch's own decomposition reads its statistics through strides."""
    parts = x.reshape(batch, groups, -1)
    mean = parts.mean(-1, keepdim=True)
    scale = torch.rsqrt(parts.var(-1, correction=0, keepdim=True) + eps)
    normal = ((parts - mean) * scale).reshape(x.shape)
    per_channel = [1, channels] + [1] * (x.dim() - 2)
    if weight is not None:
        normal = normal * weight.reshape(per_channel)
    if bias is not None:
        normal = normal + bias.reshape(per_channel)
    return normal, mean.squeeze(-1), scale.squeeze(-1)
