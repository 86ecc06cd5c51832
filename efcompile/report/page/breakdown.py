"""Stacked bars: what the first and the last stage spend, by class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from efcompile.report.digest import stage_name
from efcompile.report.document import KernelRow, Profile, Report, SurveyClass
from efcompile.report.page.axis import Axis
from efcompile.report.units import MINUS, Scale, percent, scale_for

COLOURS = 8
"""How many colours the page has for classes; more classes take them in turns."""

SURVEY_CLASSES: tuple[SurveyClass, ...] = get_args(SurveyClass)


@dataclass(frozen=True)
class Segment:
    """A part of a bar: the class, its colour's number, where it begins and how long it is in
    percent of the chart."""

    name: str
    colour: int
    start: float
    length: float
    text: str
    share: str


@dataclass(frozen=True)
class Bar:
    """A stage, as a stack of classes."""

    stage: str
    text: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Line:
    """A class in the table under the bars: before, after and the difference, as numbers without
    unit and as text for sorting."""

    name: str
    colour: int
    before: str
    after: str
    difference: str
    better: bool | None


@dataclass(frozen=True)
class Breakdown:
    """Bars on one scale, and the same as a table; `unit` is that of the table's numbers."""

    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    unit: str


def by_survey_class(report: Report) -> Breakdown | None:
    """The profiles' kernels by the survey's classes; None without profiles."""
    stages = [(stage_name(report, profile.stage), _sums(profile)) for profile in report.profiles]
    if not any(sums for _, sums in stages):
        return None
    unit = report.profiles[0].whole.unit
    return _breakdown(stages, SURVEY_CLASSES, unit)


def by_instruction_class(report: Report) -> Breakdown | None:
    """The ledger's instructions by their class; None where only time was measured."""
    rows = report.ledger.rows
    if not rows or not rows[0].cost.classes:
        return None
    ends = (rows[0],) if len(rows) == 1 else (rows[0], rows[-1])
    stages = [
        (
            stage_name(report, row.name),
            {name: figure.value for name, figure in row.cost.classes.items()},
        )
        for row in ends
    ]
    return _breakdown(stages, list(rows[0].cost.classes), rows[0].cost.total.unit)


def colour_of(kernel: KernelRow) -> int:
    """The colour of a kernel's class."""
    return SURVEY_CLASSES.index(kernel.survey_class)


def _sums(profile: Profile) -> dict[str, float]:
    sums: dict[str, float] = {}
    for kernel in profile.kernels:
        sums[kernel.survey_class] = sums.get(kernel.survey_class, 0.0) + kernel.cost.value
    return sums


def _breakdown(
    stages: Sequence[tuple[str, Mapping[str, float]]], classes: Sequence[str], unit: str
) -> Breakdown:
    longest = max(sum(sums.values()) for _, sums in stages)
    axis, scale = Axis(0.0, longest), scale_for(unit, longest)
    if scale.factor > 1:
        scale = replace(scale, digits=scale.digits + 1)  # parts have fewer digits than the whole
    seen = [name for name in classes if any(sums.get(name) for _, sums in stages)]
    return Breakdown(
        bars=tuple(_bar(stage, sums, classes, axis, scale) for stage, sums in stages),
        lines=tuple(_line(name, stages, classes.index(name), scale) for name in seen),
        unit=scale.name,
    )


def _bar(
    stage: str, sums: Mapping[str, float], classes: Sequence[str], axis: Axis, scale: Scale
) -> Bar:
    segments, position, whole = [], 0.0, sum(sums.values())
    for index, name in enumerate(classes):
        value = sums.get(name, 0.0)
        if value <= 0:
            continue
        start, length = axis.between(position, position + value)
        position += value
        share = percent(value / whole, 1)
        colour = index % COLOURS
        segments.append(Segment(name, colour, start, length, scale.text(value), share))
    return Bar(stage, scale.text(whole), tuple(segments))


def _line(
    name: str, stages: Sequence[tuple[str, Mapping[str, float]]], index: int, scale: Scale
) -> Line:
    values = [sums.get(name, 0.0) for _, sums in stages]
    change = values[-1] - values[0]
    difference = scale.number(change, signed=True)
    return Line(
        name=name,
        colour=index % COLOURS,
        before=scale.number(values[0]),
        after=scale.number(values[-1]),
        difference=difference,
        # What is printed as zero is none.
        better=change < 0 if difference[0] in f"+{MINUS}" else None,
    )
