"""A report's ledger as tables for people."""

from collections.abc import Callable, Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from efcompile.report.document import Figure, Report, Row

Scale = Callable[[float], str]


def ledger_tables(report: Report) -> Group:
    """What each stage costs, what each pass changed, and what is to be noticed; no line is
    longer than 100 characters, except for the notices."""
    rows = report.ledger.rows
    unit, scale = _scale(rows[0].cost.total)
    costs = _instructions(rows, scale) if rows[0].cost.classes else _times(rows, scale)
    costs.title = _title(report, unit)
    return Group(costs, _changes(rows), *(Text(line) for line in _notices(report, unit, scale)))


def _title(report: Report, unit: str) -> str:
    where = report.provenances[report.ledger.whole.provenance]
    rounds = f", {report.ledger.rounds} rounds in turns" if where.kind == "measured" else ""
    return (
        f"{report.model} for {where.target}: {unit}, {where.kind} on {where.device} "
        f"({where.machine}), {where.threads} thread(s){rounds}"
    )


def _scale(total: Figure) -> tuple[str, Scale]:
    """A unit in which the total has a few digits before the point."""
    if total.unit == "ns":
        name, size = ("ms", 1e6) if total.value >= 1e6 else ("us", 1e3)
        return name, lambda value: f"{value / size:.3f}"
    if total.value >= 1e7:
        return "millions of instructions", lambda value: f"{value / 1e6:.2f}"
    return "instructions", lambda value: f"{value:.0f}"


def _signed(scale: Scale, value: float) -> str:
    return f"+{scale(value)}" if value > 0 else scale(value)


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
        cells = [scale(total.value), f"{scale(total.low)} .. {scale(total.high)}"]
        cells += _difference(row, scale)
        table.add_row(row.name, *cells, *([_alone(row, scale)] if alone else []), style=_style(row))
    return table


def _instructions(rows: Sequence[Row], scale: Scale) -> Table:
    alone = _has_leave_one_out(rows)
    classes = list(rows[0].cost.classes)
    table = _table("total", *classes, "difference", *(["left in"] if alone else []))
    for row in rows:
        cells = [scale(row.cost.total.value)]
        cells += [scale(row.cost.classes[name].value) for name in classes]
        cells += _difference(row, scale)[:1]
        table.add_row(row.name, *cells, *([_alone(row, scale)] if alone else []), style=_style(row))
    return table


def _difference(row: Row, scale: Scale) -> list[str]:
    found = row.difference
    if found is None:
        return ["", ""]
    if row.same_program:
        return ["0", "same program"]
    interval = f"{_signed(scale, found.low)} .. {_signed(scale, found.high)}"
    return [_signed(scale, found.value), interval]


def _has_leave_one_out(rows: Sequence[Row]) -> bool:
    return any(row.leave_one_out or row.required for row in rows)


def _alone(row: Row, scale: Scale) -> str:
    if row.leave_one_out is None:
        return "required" if row.required else ""
    return _signed(scale, row.leave_one_out.value)


def _style(row: Row) -> str:
    """Slower or faster for sure; nothing where the interval has both."""
    if row.difference is None or row.difference.low <= 0 <= row.difference.high:
        return ""
    return "red" if row.difference.value > 0 else "green"


def _changes(rows: Sequence[Row]) -> Table:
    table = _table(
        "nodes", "calls", "GFLOP", "moved", "arena", "bundle", "error", "SNR", "made", "refused"
    )
    table.title = "What each pass changed (MB; errors against the stage before; SNR in dB)"
    for row in rows:
        sizes = (row.moved_bytes, row.arena_bytes, row.bundle_bytes)
        table.add_row(
            row.name,
            str(row.nodes),
            str(row.kernels),
            f"{row.flops / 1e9:.3f}",
            *(f"{size / 1e6:.2f}" for size in sizes),
            f"{row.max_abs_error:.1e}" if row.rewritten else "",
            "" if row.snr_db is None else f"{row.snr_db:.0f}",
            str(len(row.rewritten) or ""),
            str(len(row.refused) or ""),
        )
    return table


def _notices(report: Report, unit: str, scale: Scale) -> list[str]:
    ledger = report.ledger
    first, last = ledger.rows[0].cost.total, ledger.rows[-1].cost.total
    low, high = _signed(scale, ledger.whole.low), _signed(scale, ledger.whole.high)
    lines = [
        f"all passes together: {_signed(scale, ledger.whole.value)} {unit} ({low} .. {high}), "
        f"{last.value / first.value:.3f} of the captured graph's"
    ]
    for row in ledger.rows:
        if row.difference is not None and row.difference.low > 0:
            lines.append(
                f"{row.name} makes it slower: {_signed(scale, row.difference.value)} {unit}"
            )
        if row.required:
            lines.append(f"{row.name} is required: {row.required}")
    return lines
