"""Which kernels serve which op, in order of preference."""

from functools import cache

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
from efcompile.kernels.kernel import Kernel, OpCall

KERNELS: tuple[Kernel, ...] = (
    # Depthwise before the rest: conv_grouped serves it too, on the model's NCHW input.
    depthwise.KERNEL,
    conv_direct.KERNEL,
    conv_grouped.KERNEL,
    gemm.KERNEL,
    matmul.KERNEL,
    mlp.KERNEL,
    ffn.KERNEL,
    separable.KERNEL,
    attention.KERNEL,
    attention_mixed.KERNEL,
    layer_norm.KERNEL,
    group_norm.KERNEL,
    softmax.KERNEL,
    norm_linear.KERNEL,
    pool.AVG,
    pool.MAX,
    pool_mixer.KERNEL,
    mean.KERNEL,
    pool_linear.KERNEL,
    resize.KERNEL,
    activation_map.KERNEL,
    affine.KERNEL,
    binary.KERNEL,
    scalar_map.KERNEL,
    strided_copy.PERMUTE,
    strided_copy.SLICE,
    strided_copy.EXPAND,
    concat.KERNEL,
    gather.KERNEL,
    pad.KERNEL,
)
"""All kernels.  For one op the first that does not refuse a call is taken."""


@cache
def kernels_for(op: str) -> tuple[Kernel, ...]:
    """The kernels of dialect op `op`, most specific first."""
    return tuple(kernel for kernel in KERNELS if kernel.op == op)


def find(call: OpCall) -> tuple[Kernel, object] | str:
    """The kernel for `call` and its shape, or why there is none."""
    reasons = []
    for kernel in kernels_for(call.op):
        shape = kernel.shape_of(call)
        if not isinstance(shape, str):
            return kernel, shape
        reasons.append(f"{kernel.name}: {shape}")
    return "; ".join(reasons) or f"no kernel implements {call.op}"
