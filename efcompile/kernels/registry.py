"""Which kernels serve which op, in order of preference."""

from functools import cache

from efcompile.kernels import (
    activation_map,
    affine,
    binary,
    concat,
    conv_direct,
    conv_grouped,
    depthwise,
    ffn,
    gather,
    gemm,
    mlp,
    pad,
    pool,
    scalar_map,
    strided_copy,
)
from efcompile.kernels.kernel import Kernel, OpCall

KERNELS: tuple[Kernel, ...] = (
    depthwise.KERNEL,
    conv_direct.KERNEL,
    conv_grouped.KERNEL,
    gemm.KERNEL,
    mlp.KERNEL,
    ffn.KERNEL,
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
    pool.AVG,
    pool.MAX,
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
