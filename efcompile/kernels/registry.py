"""Which kernels serve which op, in order of preference."""

from functools import cache

from efcompile.kernels import gemm
from efcompile.kernels.kernel import Kernel, OpCall

KERNELS: tuple[Kernel, ...] = (gemm.KERNEL,)
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
