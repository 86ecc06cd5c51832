"""The least time a call can take on a machine, and what sets it.

The bound is the largest of five times, as if all else were free beside it:

- `fma`: multiply-adds and multiplications at the machine's multiply-add rate.  On a core whose
  additions use the same pipes the true bound is higher; here it counts against the kernel.
- `add`: additions, comparisons and choices at the rate of additions.
- `load`, `store`: elements through the ports of L1.
- a cache's name or `memory`: every byte once.  Operands and results move at the rate of a copy
  in the innermost level that holds those of this call.  Weights are read from the level that
  holds all weights and the arena together: each is used once in an inference, so it is there
  that it was left.
"""

from dataclasses import dataclass
from typing import Protocol

from efcompile.kernels.work import Work
from efcompile.report.machine import Machine

GEMM_PART = 0.9
"""A kernel is GEMM-bound when the multiply-adds of its products alone take this part of its
bound: otherwise activations, stencils or memory bind it, and the share of the FMA peak that it
can reach at all is lower."""


class Demand(Protocol):
    """What a call must do and move: `weight_bytes` are the constants that it reads,
    `activation_bytes` what it reads and writes besides, each byte once."""

    @property
    def work(self) -> Work:
        """Operations, loads and stores."""

    @property
    def weight_bytes(self) -> int:
        """Constants."""

    @property
    def activation_bytes(self) -> int:
        """All else."""


@dataclass(frozen=True)
class Needs:
    """The plain `Demand`."""

    work: Work
    weight_bytes: int
    activation_bytes: int


@dataclass(frozen=True)
class Bound:
    """`ns`, the `unit` that sets it, and whether the kernel is GEMM-bound."""

    ns: float
    unit: str
    gemm: bool


def bound(call: Demand, machine: Machine, resident_bytes: int) -> Bound:
    """The bound of one call of a model with so many bytes of weights and arena."""
    work = call.work
    half = machine.fma / 2
    operands = machine.level(call.activation_bytes)
    weights = machine.level(resident_bytes)
    times = [
        ((work.matmul + work.multiply) / half, "fma"),
        (work.add / machine.add, "add"),
        (work.loads / machine.load, "load"),
        (work.stores / machine.store, "store"),
        (call.activation_bytes / operands.copy, operands.name),
        (call.weight_bytes / weights.read, weights.name),
    ]
    ns, unit = max(times)
    return Bound(ns, unit, gemm=work.matmul / half >= GEMM_PART * ns > 0)
