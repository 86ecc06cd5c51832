"""What a reader wants first of a report: the whole in one line, and what did nothing."""

from dataclasses import dataclass
from typing import Literal

from efcompile.report.document import Figure, Profile, Provenance, Report, Row
from efcompile.report.units import human, interval, percent, scale_for

Trend = Literal["better", "worse", "even"]


def trend(difference: Figure) -> Trend:
    """Whether a difference in cost is one: ``even`` where its interval has zero inside."""
    if difference.low <= 0 <= difference.high:
        return "even"
    return "better" if difference.value < 0 else "worse"


ARROWS: dict[Trend, str] = {"better": "▼", "worse": "▲", "even": "="}
"""Signs that say the trend without a colour."""


@dataclass(frozen=True)
class Whole:
    """The pipeline as a whole: costs of the first and last stage in one scale, and the
    difference."""

    before: str
    after: str
    difference: str
    interval: str
    trend: Trend
    change: str


def whole(report: Report) -> Whole | None:
    """None for a ledger without stages."""
    rows, difference = report.ledger.rows, report.ledger.whole
    if not rows:
        return None
    before, after = rows[0].cost.total.value, rows[-1].cost.total.value
    scale = scale_for(difference.unit, before, after)
    return Whole(
        before=scale.text(before),
        after=scale.text(after),
        difference=scale.text(difference.value, signed=True),
        interval=interval(difference, signed=True),
        trend=trend(difference),
        change=_change(before, after),
    )


def _change(before: float, after: float) -> str:
    """``39 % less, 1.65 times as fast`` in words that fit the direction."""
    if before <= 0 or after <= 0 or before == after:
        return "no change" if before == after else ""
    if after < before:
        return f"{percent(1 - after / before)} less: {before / after:.3g} to 1"
    return f"{percent(after / before - 1)} more: {before / after:.3g} to 1"


def is_idle(row: Row) -> bool:
    """Whether a row has nothing to tell: the pass changed neither graph nor program."""
    return (
        row.difference is not None
        and row.same_program
        and not row.rewritten
        and row.kept is not False
    )


def quantity(report: Report) -> str:
    """What the ledger counts: ``latency`` or ``instructions``."""
    return "latency" if report.ledger.whole.unit == "ns" else "instructions"


def main_provenance(report: Report) -> Provenance:
    """Where the ledger's figures come from."""
    return report.provenances[report.ledger.whole.provenance]


def final_profile(report: Report) -> Profile | None:
    """The profile of the last stage, if it was made."""
    return report.profiles[-1] if report.profiles else None


def shapes(report: Report) -> str:
    """``1 × 3 × 224 × 224``; several inputs with commas between."""
    return ", ".join(" × ".join(str(size) for size in shape) for shape in report.input_shapes)


def figure_text(figure: Figure) -> str:
    """A figure of one stage for people."""
    return human(figure.value, figure.unit)
