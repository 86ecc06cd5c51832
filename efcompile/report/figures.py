"""Measurements as a report's figures, and the only arithmetic there is on them."""

from efcompile.devices.measurement import Measurement
from efcompile.devices.statistics import difference_interval
from efcompile.report.contest import Score
from efcompile.report.document import Cost, Figure


def figure(measurement: Measurement, provenance: str) -> Figure:
    """A measurement with its quartiles; `provenance` is its key in the report."""
    low, high = measurement.spread
    return _figure(measurement.value, low, high, measurement, provenance)


def cost(score: Score, provenance: str) -> Cost:
    """What a program costs, with the classes of its instructions."""
    classes = {name: figure(part, provenance) for name, part in score.classes.items()}
    return Cost(total=figure(score.total, provenance), classes=classes)


def difference(after: Score, before: Score, provenance: str) -> Figure:
    """How much more `after` costs: exactly the difference of their totals, with its interval.

    Raises `DeviceError` for measurements of different kinds or units.
    """
    value = after.total.minus(before.total)
    if after is before:
        return _figure(0.0, 0.0, 0.0, after.total, provenance)
    low, high = difference_interval(after.samples, before.samples)
    return _figure(value, low, high, after.total, provenance)


def class_differences(after: Score, before: Score, provenance: str) -> dict[str, Figure]:
    """The same for each class of instructions; counts are exact."""
    found = {}
    for name, part in after.classes.items():
        value = part.minus(before.classes[name])
        found[name] = _figure(value, value, value, part, provenance)
    return found


def _figure(value: float, low: float, high: float, of: Measurement, provenance: str) -> Figure:
    fields = {"value": value, "low": low, "high": high, "unit": of.unit, "samples": of.samples}
    return Figure.model_validate({**fields, "provenance": provenance})
