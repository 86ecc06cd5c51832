"""What is said of each distinct kernel of a model, and whether it is good enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from benchmarks.prepared import Prepared, TimedCall
from efcompile.report.machine import Machine
from efcompile.report.roofline import bound

GEMM_SHARE = 0.85
"""Share of the FMA peak that a GEMM-bound kernel must reach."""
BOUND_SHARE = 0.70
"""Share of its own bound that any other kernel must reach."""
MAY_FALL_SHORT = 5
"""Kernels of a model that may not reach it."""
TIME_SHARE = 0.03
"""Share of the model's time that none of them may be over."""


@dataclass(frozen=True)
class Times:
    """Nanoseconds by round: `network` and `hot` [rounds, calls], `whole` [rounds]."""

    network: NDArray[np.int64]
    hot: NDArray[np.int64]
    whole: NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """A distinct kernel: microseconds of one call (the mean of its calls' medians), rates, and
    shares in 0 .. 1.  `time_share` is of the sum over all calls; `cumulative` its running sum.
    """

    symbol: str
    kernel: str
    op: str
    shape: str
    calls: int
    us: float
    us_hot: float
    gflops: float
    fma_share: float
    gbs: float
    copy_share: float
    bound_us: float
    bound_unit: str
    gemm_bound: bool
    bound_share: float
    time_share: float
    cumulative: float
    sources: tuple[str, ...]

    @property
    def short(self) -> bool:
        """Whether it is below what its kind must reach."""
        if self.gemm_bound:
            return self.fma_share < GEMM_SHARE
        return self.bound_share < BOUND_SHARE


def rows_of(prepared: Prepared, times: Times, machine: Machine) -> list[Row]:
    """The rows of a model, the largest share of its time first."""
    network, hot = np.median(times.network, axis=0), np.median(times.hot, axis=0)
    groups: dict[str, list[int]] = {}
    for index, call in enumerate(prepared.calls):
        groups.setdefault(call.symbol, []).append(index)
    ordered = sorted(groups.values(), key=lambda group: -network[group].sum())
    shares = [float(network[group].sum() / network.sum()) for group in ordered]
    return [
        _row(prepared, group, float(network[group].mean()), float(hot[group].mean()), machine, s)
        for group, s in zip(ordered, zip(shares, accumulate(shares), strict=True), strict=True)
    ]


def _row(
    prepared: Prepared,
    group: Sequence[int],
    ns: float,
    hot: float,
    machine: Machine,
    shares: tuple[float, float],
) -> Row:
    calls = [prepared.calls[index] for index in group]
    call: TimedCall = calls[0]
    least = bound(call, machine, prepared.resident_bytes)
    moved = call.weight_bytes + call.activation_bytes
    level = machine.level(call.activation_bytes)
    if call.weight_bytes > call.activation_bytes:
        level = machine.level(prepared.resident_bytes)
    return Row(
        symbol=call.symbol,
        kernel=call.kernel,
        op=call.op,
        shape=call.shape,
        calls=len(calls),
        us=ns / 1e3,
        us_hot=hot / 1e3,
        gflops=call.flops / ns,
        fma_share=call.flops / ns / machine.fma,
        gbs=moved / ns,
        copy_share=moved / ns / level.copy,
        bound_us=least.ns / 1e3,
        bound_unit=least.unit,
        gemm_bound=least.gemm,
        bound_share=least.ns / ns,
        time_share=shares[0],
        cumulative=shares[1],
        sources=tuple(dict.fromkeys(source for c in calls for source in c.sources)),
    )


def failures(rows: Sequence[Row]) -> list[str]:
    """Why a model's kernels are not good enough, in words; empty if they are."""
    short = [row for row in rows if row.short]
    found = []
    if len(short) > MAY_FALL_SHORT:
        found.append(f"{len(short)} kernels fall short, {MAY_FALL_SHORT} may")
    found += [
        f"{row.kernel} {row.shape} falls short with {row.time_share:.1%} of the time, "
        f"{TIME_SHARE:.0%} may"
        for row in short
        if row.time_share > TIME_SHARE
    ]
    return found
