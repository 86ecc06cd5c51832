"""The waterfall: from the captured graph's cost to the final one, a step for every pass."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from efcompile.report.digest import ALL_PASSES, ARROWS, Trend, is_idle, ledger_scale, trend
from efcompile.report.document import Figure, Report, Row
from efcompile.report.page.axis import Axis, axis_of
from efcompile.report.units import Scale, exact, interval, is_exact


@dataclass(frozen=True)
class Step:
    """A line of the chart.  `start` and `length` of its bar, `low` and `high` of its whisker
    and `link`, where the next step begins, are in percent; no whisker for an exact figure.
    `trend` is None for the two totals."""

    name: str
    summary: str
    trend: Trend | None
    text: str
    interval: str
    title: str
    start: float
    length: float
    link: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Waterfall:
    """`cut` says whether the axis begins above zero, at `floor`."""

    steps: tuple[Step, ...]
    ticks: tuple[tuple[float, str], ...]
    idle: tuple[str, ...]
    cut: bool
    floor: str


def waterfall(report: Report) -> Waterfall | None:
    """None for a ledger without stages."""
    rows = report.ledger.rows
    if not rows:
        return None
    axis = axis_of(list(_extremes(rows)))
    scale = ledger_scale(report)
    return Waterfall(
        steps=(
            _total(rows[0].name, rows[0], axis, scale, report),
            *(
                _step(before, row, row.difference, axis, scale, report)
                for before, row in pairwise(rows)
                if row.difference and not is_idle(row)
            ),
            _total(ALL_PASSES, rows[-1], axis, scale, report),
        ),
        ticks=tuple(axis.ticks(scale)),
        idle=tuple(row.name for row in rows if is_idle(row)),
        cut=axis.low > 0,
        floor=next((text for place, text in axis.ticks(scale) if not place), "more than zero"),
    )


def _extremes(rows: tuple[Row, ...]) -> Iterator[float]:
    for row in rows:
        yield row.cost.total.value
    for before, row in pairwise(rows):
        if row.difference and not is_idle(row):
            yield before.cost.total.value + row.difference.low
            yield before.cost.total.value + row.difference.high


def _total(name: str, row: Row, axis: Axis, scale: Scale, report: Report) -> Step:
    total = row.cost.total
    start, length = axis.between(axis.low, total.value)
    return Step(
        name=name,
        summary=row.summary,
        trend=None,
        text=scale.text(total.value),
        interval=interval(total, scale),
        title=exact(total, report.provenances[total.provenance]),
        start=start,
        length=length,
        link=axis.at(total.value),
    )


def _step(
    before: Row, row: Row, difference: Figure, axis: Axis, scale: Scale, report: Report
) -> Step:
    base, total = before.cost.total.value, row.cost.total.value
    start, length = axis.between(base, total)
    direction = trend(difference)
    whisker = not is_exact(difference)
    return Step(
        name=row.name,
        summary=row.summary,
        trend=direction,
        text=f"{ARROWS[direction]} {scale.text(difference.value, signed=True)}",
        interval=interval(difference, scale, signed=True),
        title=exact(difference, report.provenances[difference.provenance]),
        start=start,
        length=length,
        link=axis.at(total),
        low=axis.at(base + difference.low) if whisker else None,
        high=axis.at(base + difference.high) if whisker else None,
    )
