"""How well a machine repeats itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from efcompile.devices.measurement import summarise


@dataclass(frozen=True)
class Steadiness:
    """Of runs of the same work: the median `value` of all, and as shares of it how far apart the
    quartiles are (`spread`) and how much the last third is above the first (`drift`); `equal`
    says that all were the same."""

    value: float
    spread: float
    drift: float
    equal: bool


def steadiness(runs: Sequence[Sequence[float]]) -> Steadiness:
    """Of at least one run with at least one sample each, in the order they were made."""
    values = [median(run) for run in runs]
    value, (low, high) = summarise(values)
    third = max(1, len(values) // 3)
    drift = median(values[-third:]) - median(values[:third])
    return Steadiness(value, (high - low) / value, drift / value, len(set(values)) == 1)
