"""The survey's figure as a table: our time by class, before and after, beside the published."""

from collections.abc import Sequence

from rich.table import Table

from efcompile.report.classes import CLASSES
from efcompile.report.survey import Surveyed, by_class
from efcompile.report.units import scale_for, where


def survey_table(rows: Sequence[Surveyed]) -> Table:
    """Three lines a model: as captured and as compiled, both ours, and the published."""
    first = rows[0]
    unit = first.after.whole.unit
    scale = scale_for(unit, *(row.after.whole.value for row in rows))
    notes = [
        f"{r.published.title}: {r.published.note}" for r in rows if r.published and r.published.note
    ]
    table = Table(
        title=f"{scale.name} by class, {where(first.provenance)}, {first.provenance.machine}",
        caption="\n".join(notes),
        caption_justify="left",
    )
    table.add_column("model", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name in (*CLASSES, "whole"):
        table.add_column(name, justify="right")
    for row in rows:
        for title, profile in (("before", row.before), ("after", row.after)):
            costs = by_class(profile)
            table.add_row(
                row.model if title == "before" else "",
                title,
                *(scale.number(costs[name]) if costs[name] else "-" for name in CLASSES),
                scale.number(profile.whole.value),
            )
        if row.published:
            ms = row.published.ms
            table.add_row(
                "",
                "iPhone 12, ms *",
                *(f"{ms[name]:g}" if name in ms else "-" for name in CLASSES),
                f"{row.published.total:g}",
                style="dim",
            )
        table.add_section()
    return table
