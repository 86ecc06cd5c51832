"""Whether a candidate found by searching is really better: measured again, in turns.

Searching compares single measurements made at different times, and the best of forty is lucky as
well as good.  So nothing is accepted that does not win once more, side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from efcompile.bundle.trial import Outcome
from efcompile.devices.statistics import difference_interval

LEAST_GAIN = 0.005
"""The part of the start's time by which the interval must lie below zero: equal candidates that
take turns differ by up to 0.3 %, by where their code and weights happen to lie."""


def surely_less(after: Outcome, before: Outcome) -> tuple[bool, tuple[float, float]]:
    """Whether `after` beats `before`, of one interleaved run, and a 95 % interval of the
    difference of their medians.  Counts compare exactly."""
    interval = difference_interval(after.values, before.values)
    margin = 0.0 if before.unit == "instructions" else LEAST_GAIN * median(before.values)
    return interval[1] < -margin, interval


@dataclass(frozen=True)
class Decision:
    """The accepted `candidate`'s position (None: what was there stays), the medians of the start
    and of it, and a 95 % interval of the difference (after minus before; a count's is exact)."""

    candidate: int | None
    start: float
    best: float
    interval: tuple[float, float]


def decide(runs: Sequence[Sequence[Outcome]]) -> Decision:
    """The candidate with the lowest median of those that surely cost less than the start.

    A run has the start's outcome, then one for each candidate, made in turns: a value per round.
    The first run decides; in the others, with other numbers of threads, an accepted candidate must
    not surely cost more.  A failed candidate is out; a failed start has nothing to compare with
    and keeps its place.
    """
    (start, *candidates), *others = runs
    if start.failure:
        return Decision(None, float("nan"), float("nan"), (0.0, 0.0))
    before = median(start.values)
    ranked = sorted(
        (i for i, found in enumerate(candidates) if not found.failure),
        key=lambda i: median(candidates[i].values),
    )
    for i in ranked:
        less, interval = surely_less(candidates[i], start)
        if less and all(_bearable(run[0], run[1 + i]) for run in others):
            return Decision(i, before, median(candidates[i].values), interval)
    return Decision(None, before, before, (0.0, 0.0))


def _bearable(start: Outcome, candidate: Outcome) -> bool:
    """Whether the candidate does not surely cost more, if this run could be made at all."""
    if start.failure:
        return True
    return not candidate.failure and not surely_less(start, candidate)[0]
