"""What a reader wants first of a report: the whole in one line, and what did nothing."""

from dataclasses import dataclass, replace
from typing import Literal

from efcompile.report.document import Figure, Profile, Provenance, RefusalEntry, Report, Row
from efcompile.report.units import TIMES, Scale, interval, percent, scale_for

Trend = Literal["better", "worse", "even"]


def trend(difference: Figure) -> Trend:
    """Whether a difference in cost is one: ``even`` where its interval has zero inside."""
    if difference.low <= 0 <= difference.high:
        return "even"
    return "better" if difference.value < 0 else "worse"


ALL_PASSES = "all passes"
"""What the last stage is called where it stands for the whole pipeline."""

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
    """The same in percent, for a sentence; may be empty."""


def whole(report: Report) -> Whole | None:
    """None for a ledger without stages."""
    rows, difference = report.ledger.rows, report.ledger.whole
    if not rows:
        return None
    before, after = rows[0].cost.total.value, rows[-1].cost.total.value
    scale = ledger_scale(report)
    return Whole(
        before=scale.text(before),
        after=scale.text(after),
        difference=scale.text(difference.value, signed=True),
        interval=interval(difference, scale, signed=True),
        trend=trend(difference),
        change=_change(before, after, difference.unit),
    )


def _change(before: float, after: float, unit: str) -> str:
    """``39 % less time, 1.65x as fast``, or ``39 % fewer``; empty where there is no ratio."""
    if before <= 0 or after <= 0 or before == after:
        return ""
    more = after > before
    share = percent(abs(after / before - 1))
    if unit != "ns":
        return f"{share} {'more' if more else 'fewer'}"
    return f"{share} {'more' if more else 'less'} time, {before / after:.3g}{TIMES} as fast"


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


def ledger_scale(report: Report) -> Scale:
    """One scale for the costs and differences of all passes, so that they compare at a glance:
    the differences' own, with a digit more."""
    rows = report.ledger.rows
    differences = [abs(row.difference.value) for row in rows if row.difference]
    # Differences that are nothing beside the costs must not make those long rows of digits.
    least = max((row.cost.total.value / 200 for row in rows), default=0.0)
    scale = scale_for(report.ledger.whole.unit, max([least, *differences]))
    return scale if scale.factor == 1 else replace(scale, digits=max(1, scale.digits))


def main_provenance(report: Report) -> Provenance:
    """Where the ledger's figures come from."""
    return report.provenances[report.ledger.whole.provenance]


def final_profile(report: Report) -> Profile | None:
    """The profile of the last stage, if it was made."""
    return report.profiles[-1] if report.profiles else None


def stage_name(report: Report, stage: str) -> str:
    """A stage's name for people: that of its pass, or `ALL_PASSES` for the last of several."""
    rows = report.ledger.rows
    return ALL_PASSES if len(rows) > 1 and stage == rows[-1].name else stage


def refusals(row: Row) -> list[tuple[str, list[RefusalEntry]]]:
    """The places that a pass left alone, by reason, the most frequent reason first."""
    by_reason: dict[str, list[RefusalEntry]] = {}
    for entry in row.refused:
        by_reason.setdefault(entry.reason, []).append(entry)
    return sorted(by_reason.items(), key=lambda item: -len(item[1]))


def shapes(report: Report) -> str:
    """``1 x 3 x 224 x 224``; several inputs with commas between."""
    return ", ".join(f" {TIMES} ".join(map(str, shape)) for shape in report.input_shapes)
