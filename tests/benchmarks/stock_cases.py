"""A small task, quick to search."""

import numpy as np

from efcompile.kernels.gemm import KERNEL
from efcompile.kernels.kernel import OpCall, Operand
from efcompile.targets.resolve import resolve
from efcompile.tuning.task import Task


def gemm_task(m: int = 6, n: int = 24, k: int = 10) -> Task:
    """A linear layer with a bias, its weights constant."""
    source = np.random.default_rng(0)

    def constant(*shape: int) -> Operand:
        return Operand(shape, value=source.standard_normal(shape, np.float32))

    args = {
        "x": Operand((1, m, k)),
        "weight": constant(n, k),
        "bias": constant(n),
        "residual": None,
        "act": "relu",
    }
    call = OpCall("linear", args, Operand((1, m, n)))
    shape = KERNEL.shape_of(call)
    assert not isinstance(shape, str)
    return Task(KERNEL, shape, resolve("host"), call, 1, ("net.fc",))
