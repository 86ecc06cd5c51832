"""A profile as a table."""

from collections.abc import Sequence
from dataclasses import replace

from rich.table import Table

from efcompile.report.document import Profile, Provenance
from efcompile.report.grouping import By, Group, groups
from efcompile.report.units import human, percent, scale_for, where

_TIMED = ("GFLOP/s", "GB/s", "roofline")
_TOGETHER, _BETWEEN, _WHOLE = "all calls", "between the calls", "whole model"


def profile_table(
    profile: Profile, provenance: Provenance, model: str, by: By, depth: int
) -> Table:
    """A line for each group of calls, then all calls together and the whole model, which was
    measured without clocks between them."""
    timed = profile.whole.unit == "ns"
    found = groups(profile, by, depth)
    scale = scale_for(profile.whole.unit, profile.whole.value)
    # Small kernels beside large ones need the digits.
    scale = replace(scale, digits=2 if scale.factor > 1 else 0)
    header = [by, "calls", scale.name, "share", "sum", *(_TIMED if timed else ())]
    lines = [
        [
            _name(group, by),
            str(len(group.rows)),
            scale.number(group.cost),
            percent(group.share, 1),
            percent(group.cumulative, 1),
            *_rates(group),
        ]
        for group in found
    ]
    together, whole = sum(group.cost for group in found), profile.whole.value
    below = [[_TOGETHER, str(len(profile.kernels)), scale.number(together)]]
    if timed:
        below.append([_BETWEEN, "", scale.number(whole - together, signed=True)])
    below.append([_WHOLE, "", scale.number(whole)])
    table = Table(title=_title(profile, provenance, model), caption=_caption(profile))
    for column, name in enumerate(header):
        cells = [name, *(line[column] for line in [*lines, *below] if column < len(line))]
        table.add_column(
            name,
            justify="right" if column else "left",
            no_wrap=True,
            # The last column gives way instead: half a number is none.
            min_width=max(map(len, cells)),
        )
    if by != "module":
        table.add_column("modules", no_wrap=True, overflow="ellipsis")
    for group, line in zip(found, lines, strict=True):
        table.add_row(*line, *([] if by == "module" else [modules(group.sources)]))
    table.add_section()
    for line in below:
        table.add_row(*line)
    return table


def modules(sources: Sequence[str]) -> str:
    """The first of the modules, and how many more there are."""
    return sources[0] + (f" +{len(sources) - 1}" if len(sources) > 1 else "")


def _title(profile: Profile, provenance: Provenance, model: str) -> str:
    whole = human(profile.whole.value, profile.whole.unit)
    return f"{model}: {whole}, {where(provenance)}, {provenance.machine}"


def _caption(profile: Profile) -> str | None:
    if not profile.peaks:
        return None
    peaks = (f"{name} {human(peak.value, peak.unit)}" for name, peak in profile.peaks.items())
    return f"peaks of this machine in the same run: {', '.join(peaks)}"


def _name(group: Group, by: By) -> str:
    row = group.rows[0]
    if by == "kernel":
        # The kernel's name and the beginning of what tells its shapes apart.
        return f"{row.kernel} {row.symbol.rpartition('_')[2][:4]}"
    return f"{row.index} {row.kernel}" if by == "call" else group.name


def _rates(group: Group) -> list[str]:
    if group.rates is None or group.roofline_share is None:
        return []
    flops, moved = group.rates
    return [f"{flops:.1f}", f"{moved:.1f}", percent(group.roofline_share)]
