"""A report's ledger as tables for people."""

from collections.abc import Sequence
from dataclasses import replace

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from efcompile.report.digest import main_provenance, trend
from efcompile.report.document import Figure, Report, Row
from efcompile.report.units import Scale, scale_for


def ledger_tables(report: Report) -> Group:
    """What each stage costs, what each pass changed, and what is to be noticed; no line is
    longer than 100 characters, except for the notices."""
    rows = report.ledger.rows
    scale = _scale(rows[0].cost.total)
    costs = _instructions(rows, scale) if rows[0].cost.classes else _times(rows, scale)
    costs.title = _title(report, scale.name)
    return Group(costs, _changes(rows), *(Text(line) for line in _notices(report, scale)))


def _title(report: Report, unit: str) -> str:
    where = main_provenance(report)
    rounds = f", {report.ledger.rounds} rounds in turns" if where.kind == "measured" else ""
    return (
        f"{report.model} for {where.target}: {unit}, {where.kind} on {where.device} "
        f"({where.machine}), {where.threads} thread(s){rounds}"
    )


def _scale(total: Figure) -> Scale:
    """Five digits of a time, as differences are small beside it; four of a count, whose row
    has all classes."""
    scale = scale_for(total.unit, total.value)
    more = 2 if total.unit == "ns" else 1
    return replace(scale, digits=scale.digits + more) if scale.factor > 1 else scale


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("pass", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _times(rows: Sequence[Row], scale: Scale) -> Table:
    alone = _has_leave_one_out(rows)
    table = _table(
        "median", "quartiles", "difference", "95 % interval", *(["left in"] if alone else [])
    )
    for row in rows:
        total = row.cost.total
        cells = [
            scale.number(total.value),
            f"{scale.number(total.low)} .. {scale.number(total.high)}",
        ]
        cells += _difference(row, scale)
        table.add_row(row.name, *cells, *([_alone(row, scale)] if alone else []), style=_style(row))
    return table


def _instructions(rows: Sequence[Row], scale: Scale) -> Table:
    alone = _has_leave_one_out(rows)
    classes = list(rows[0].cost.classes)
    table = _table("total", *classes, "difference", *(["left in"] if alone else []))
    for row in rows:
        cells = [scale.number(row.cost.total.value)]
        cells += [scale.number(row.cost.classes[name].value) for name in classes]
        cells += _difference(row, scale)[:1]
        table.add_row(row.name, *cells, *([_alone(row, scale)] if alone else []), style=_style(row))
    return table


def _difference(row: Row, scale: Scale) -> list[str]:
    found = row.difference
    if found is None:
        return ["", ""]
    if row.same_program:
        return ["0", "same program"]
    interval = f"{scale.number(found.low, signed=True)} .. {scale.number(found.high, signed=True)}"
    return [scale.number(found.value, signed=True), interval]


def _has_leave_one_out(rows: Sequence[Row]) -> bool:
    return any(row.leave_one_out or row.required for row in rows)


def _alone(row: Row, scale: Scale) -> str:
    if row.leave_one_out is None:
        return "required" if row.required else ""
    return scale.number(row.leave_one_out.value, signed=True)


_STYLES = {"better": "green", "worse": "red", "even": ""}


def _style(row: Row) -> str:
    """Coloured where it is slower or faster for sure."""
    return _STYLES[trend(row.difference)] if row.difference else ""


def _changes(rows: Sequence[Row]) -> Table:
    table = _table(
        "nodes", "calls", "GFLOP", "moved", "arena", "bundle", "error", "SNR", "made", "refused"
    )
    table.title = "What each pass changed (MB; errors against the stage before; SNR in dB)"
    for row in rows:
        table.add_row(
            row.name,
            str(row.nodes),
            str(row.kernels),
            f"{row.flops / 1e9:.2f}",
            f"{row.moved_bytes / 1e6:.1f}",
            f"{row.arena_bytes / 1e6:.2f}",
            f"{row.bundle_bytes / 1e6:.1f}",
            f"{row.max_abs_error:.0e}" if row.rewritten else "",
            "" if row.snr_db is None else f"{row.snr_db:.0f}",
            str(len(row.rewritten) or ""),
            str(len(row.refused) or ""),
        )
    return table


def _notices(report: Report, scale: Scale) -> list[str]:
    rows, whole = report.ledger.rows, report.ledger.whole
    ratio = rows[-1].cost.total.value / rows[0].cost.total.value
    value, low, high = (scale.number(x, signed=True) for x in (whole.value, whole.low, whole.high))
    lines = [
        f"all passes together: {value} {scale.name} ({low} .. {high}), {ratio:.3f} of the "
        "captured graph's"
    ]
    for row in rows:
        if row.difference is not None and trend(row.difference) == "worse":
            more = scale.text(row.difference.value, signed=True)
            lines.append(f"{row.name} makes it slower: {more}")
        if row.required:
            lines.append(f"{row.name} is required: {row.required}")
    return lines
