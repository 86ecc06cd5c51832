"""From values to places in a drawing, in percent of its width or height."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from efcompile.report.units import Scale


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high`."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Percent of the way from `low` to `high`, never outside."""
        span = self.high - self.low
        share = (value - self.low) / span if span > 0 else 0.0
        return round(100 * min(max(share, 0.0), 1.0), 3)

    def between(self, one: float, other: float) -> tuple[float, float]:
        """Where a bar between two values begins, and how long it is, in percent."""
        begin, end = sorted((self.at(one), self.at(other)))
        return begin, round(end - begin, 3)

    def ticks(self, scale: Scale, most: int = 5) -> Iterator[tuple[float, str]]:
        """At most `most` + 1 round values: place in percent, and text in the unit of `scale`."""
        span = self.high - self.low
        if span <= 0:
            return
        step = _round_step(span / most)
        scale = replace(scale, digits=_decimals(step / scale.factor))
        for index in range(math.ceil(self.low / step), math.floor(self.high / step) + 1):
            yield self.at(index * step), scale.text(index * step)


def axis_of(values: Sequence[float]) -> Axis:
    """An axis for totals that differ: from zero, unless what they have in common would take
    most of it; then from a round value below them all."""
    least, most = min(values, default=0.0), max(values, default=0.0)
    if least <= 0 or most - least > 0.6 * most:
        return Axis(min(least, 0.0), _beyond(most))
    span = max(most - least, most * 0.01)
    step = _round_step(span / 4)
    return Axis(max(0.0, math.floor((least - span * 0.15) / step) * step), _beyond(most))


def _beyond(most: float) -> float:
    return most * 1.005 if most > 0 else 1.0


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, 50 ... that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * 0.999)


def _decimals(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9))
