"""Cells of the page's tables: text for people, a key to sort by, and the exact number."""

from dataclasses import dataclass

from efcompile.report.digest import ARROWS, Trend, ledger_scale, trend
from efcompile.report.document import Figure, KernelRow, Profile, Report, Row
from efcompile.report.page.breakdown import colour_of
from efcompile.report.units import Scale, error, exact, human, interval, percent, scale_for


@dataclass(frozen=True)
class Cell:
    """`key` sorts (None: last); `title` is shown on hover; `bar` is a share in percent to draw
    behind, and `trend` a judgement that `text` has as an arrow already."""

    text: str
    key: float | None = None
    title: str = ""
    detail: str = ""
    bar: float | None = None
    trend: Trend | None = None


@dataclass(frozen=True)
class KernelLine:
    """A call of a kernel.  `rates` is empty under emulation, where nothing took time."""

    index: int
    name: str
    symbol: str
    op: str
    sources: tuple[str, ...]
    survey_class: str
    colour: int
    cost: Cell
    share: Cell
    rates: tuple[Cell, ...]
    roofline: Cell | None


@dataclass(frozen=True)
class PassLine:
    """A row of the ledger: cost, difference, then all else in the order of the page's columns;
    leave-one-out and the gate's decision apart, as they are not always there."""

    name: str
    summary: str
    approximate: bool
    cells: tuple[Cell, ...]
    alone: Cell | None
    kept: bool | None


def kernel_lines(report: Report, profile: Profile) -> tuple[KernelLine, ...]:
    """A line for each call, the heaviest first."""
    scale = scale_of(profile)
    ordered = sorted(profile.kernels, key=lambda kernel: -kernel.cost.value)
    return tuple(_kernel(kernel, scale, report) for kernel in ordered)


def scale_of(profile: Profile) -> Scale:
    """The unit that all costs of the kernels are printed in."""
    return scale_for(profile.whole.unit, *(kernel.cost.value for kernel in profile.kernels))


def _kernel(kernel: KernelRow, scale: Scale, report: Report) -> KernelLine:
    timed = kernel.cost.unit == "ns" and kernel.cost.value > 0
    rates = (
        (_rate(kernel.flops, kernel, "FLOP/s"), _rate(kernel.moved_bytes, kernel, "B/s"))
        if timed
        else ()
    )
    reached = kernel.roofline_share
    return KernelLine(
        index=kernel.index,
        name=kernel.kernel,
        symbol=kernel.symbol,
        op=kernel.op,
        sources=kernel.sources,
        survey_class=kernel.survey_class,
        colour=colour_of(kernel),
        cost=Cell(
            scale.number(kernel.cost.value),
            kernel.cost.value,
            exact(kernel.cost, report.provenances[kernel.cost.provenance]),
        ),
        share=Cell(
            percent(kernel.share, 1), kernel.share, f"{kernel.share:.4%}", bar=_bar(kernel.share)
        ),
        rates=rates,
        roofline=None
        if reached is None
        else Cell(percent(reached), reached, f"{reached:.2%} of the bound", bar=_bar(reached)),
    )


def _rate(amount: int, kernel: KernelRow, unit: str) -> Cell:
    """`amount` per second, in 1e9."""
    rate = amount / kernel.cost.value
    what = "floating-point operations" if unit == "FLOP/s" else "bytes"
    return Cell(f"{rate:.1f}", rate, f"{amount:,} {what}, {human(rate * 1e9, unit)}")


def _bar(share: float) -> float:
    return round(100 * min(max(share, 0.0), 1.0), 2)


def pass_lines(report: Report) -> tuple[PassLine, ...]:
    """A line for each row of the ledger."""
    scale = ledger_scale(report)
    return tuple(_pass(row, scale, report) for row in report.ledger.rows)


def _pass(row: Row, scale: Scale, report: Report) -> PassLine:
    return PassLine(
        name=row.name,
        summary=row.summary,
        approximate=row.exactness == "approximate",
        cells=(
            cost_cell(row.cost.total, scale, report),
            difference_cell(row.difference, scale, report),
            Cell(f"{row.nodes:,}", row.nodes),
            Cell(f"{row.kernels:,}", row.kernels),
            Cell(human(row.flops, "FLOP"), row.flops, f"{row.flops:,} FLOP"),
            _bytes(row.moved_bytes),
            _bytes(row.arena_bytes),
            _bytes(row.bundle_bytes),
            Cell(error(row.max_abs_error), row.max_abs_error, str(row.max_abs_error)),
            Cell(error(row.relative_error), row.relative_error, str(row.relative_error)),
            Cell("" if row.snr_db is None else f"{row.snr_db:.0f} dB", row.snr_db),
        ),
        alone=_alone(row, scale, report),
        kept=row.kept,
    )


def cost_cell(figure: Figure, scale: Scale, report: Report) -> Cell:
    """A stage's cost with its quartiles."""
    title = exact(figure, report.provenances[figure.provenance])
    return Cell(scale.number(figure.value), figure.value, title, interval(figure, scale))


def difference_cell(figure: Figure | None, scale: Scale, report: Report) -> Cell:
    """A difference with its interval, and an arrow."""
    if figure is None:
        return Cell("")
    title = exact(figure, report.provenances[figure.provenance])
    direction = trend(figure)
    text = f"{ARROWS[direction]} {scale.number(figure.value, signed=True)}"
    return Cell(text, figure.value, title, interval(figure, scale, signed=True), trend=direction)


def _alone(row: Row, scale: Scale, report: Report) -> Cell | None:
    if row.leave_one_out is not None:
        return difference_cell(row.leave_one_out, scale, report)
    return Cell("required", title=row.required) if row.required else None


def _bytes(count: int) -> Cell:
    return Cell(human(count, "bytes"), count, f"{count:,} bytes")
