"""The survey's figure as a table: our costs by class, before and after, beside the published."""

from collections.abc import Sequence
from dataclasses import replace

from rich.table import Table

from efcompile.report.classes import CLASSES
from efcompile.report.published import MARK, SOURCE
from efcompile.report.survey import Surveyed, by_class
from efcompile.report.units import scale_for, where


def survey_table(rows: Sequence[Surveyed]) -> Table:
    """Three lines for each model: as captured and as compiled, both ours, and the published."""
    first = rows[0]
    scale = scale_for(first.after.whole.unit, *(row.after.whole.value for row in rows))
    scale = replace(scale, digits=2 if scale.factor > 1 else 0)
    table = Table(
        title=f"{scale.name} by class, {where(first.provenance)}, {first.provenance.machine}"
    )
    table.add_column("model", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name in (*CLASSES, "whole"):
        table.add_column(
            name, justify="right", min_width=max(7, *(len(word) for word in name.split()))
        )
    for row in rows:
        title = row.published.title if row.published else row.model
        for when, profile in (("before", row.before), ("after", row.after)):
            costs = by_class(profile)
            table.add_row(
                title if when == "before" else "",
                when,
                *(scale.number(costs[name]) if costs[name] else "-" for name in CLASSES),
                scale.number(profile.whole.value),
            )
        if row.published:
            ms = row.published.ms
            table.add_row(
                "",
                "iPhone *",
                *(f"{ms[name]:g}" if name in ms else "-" for name in CLASSES),
                f"{row.published.total:g}",
                style="dim",
            )
        table.add_section()
    return table


def survey_notes(rows: Sequence[Surveyed]) -> list[str]:
    """What must be read with the published lines; nothing where there are none."""
    published = [row.published for row in rows if row.published]
    if not published:
        return []
    notes = [f"* {MARK}: {SOURCE}"]
    return notes + [f"* {entry.title}: {entry.note}" for entry in published if entry.note]
