"""A machine and calls with round numbers."""

from dataclasses import replace

from benchmarks.prepared import TimedCall
from efcompile.kernels.work import Work
from efcompile.report.machine import Level, Machine

LEVELS = (
    Level("L2", 1000, copy=10.0, read=20.0),
    Level("L3", 100_000, copy=5.0, read=10.0),
    Level("memory", 1 << 62, copy=1.0, read=2.0),
)
MACHINE = Machine(1, 8, fma=200.0, add=50.0, load=40.0, store=20.0, levels=LEVELS)
CALL = TimedCall("gemm_0", "gemm", "linear", "m=1", ("net.fc",), 0, 0, 0, Work())


def call(work: Work, *, flops: int = 0, weights: int = 0, activations: int = 0) -> TimedCall:
    """A call with that work and traffic."""
    return replace(CALL, work=work, flops=flops, weight_bytes=weights, activation_bytes=activations)
