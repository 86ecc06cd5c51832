"""How sure a difference between two medians is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import bootstrap

CONFIDENCE = 0.95
_RESAMPLES = 2000


def difference_interval(after: Sequence[float], before: Sequence[float]) -> tuple[float, float]:
    """A 95 % interval of median(after) - median(before), by bootstrap over rounds.

    The two have a sample per round, in the same order: rounds are resampled whole, so drift
    that both felt does not widen the interval.  By percentiles, which medians allow where BCa's
    acceleration does not; the difference itself is always inside.  The same samples give the
    same interval.
    """
    value = float(np.median(after) - np.median(before))
    if len(after) != len(before):
        raise ValueError(f"{len(after)} rounds against {len(before)}: not of one run")
    if len(after) == 1:
        return value, value
    found = bootstrap(
        (np.asarray(after, float), np.asarray(before, float)),
        _median_difference,
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=CONFIDENCE,
        n_resamples=_RESAMPLES,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return min(value, float(found.low)), max(value, float(found.high))


def _median_difference(after: Any, before: Any, axis: int) -> Any:
    return np.median(after, axis=axis) - np.median(before, axis=axis)
