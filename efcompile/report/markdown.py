"""A report as Markdown for a pull request: a line to read, a table, the rest folded away."""

import re
from collections.abc import Iterable, Iterator, Sequence

from efcompile.report.digest import (
    ARROWS,
    final_profile,
    is_idle,
    ledger_scale,
    main_provenance,
    quantity,
    refusals,
    shapes,
    trend,
    whole,
)
from efcompile.report.document import Figure, Profile, Provenance, Report, Row
from efcompile.report.units import Scale, error, human, interval, percent, where

MAX_KERNELS = 25
"""The heaviest kernels are shown, and the others summed up."""
MAX_PLACES = 10
"""Places named for one reason to refuse; the others are counted."""

_PLAIN = re.compile(r"[A-Za-z0-9_ .:,;/+=()%-]+")
_MARKUP = re.compile(r"[^A-Za-z0-9 .,;:/()%+=\u0080-\U0010ffff-]|^[-+=]|^[0-9](?=[0-9]*[.)])")


def render_markdown(report: Report) -> str:
    """`report` in GitHub's Markdown.  Names from the model are shown as they are, whatever
    markup they hold."""
    parts = [
        f"### {_code(report.model)} for {_code(report.target)}: what each pass brought",
        _summary(report),
        *_passes(report),
        *_kernels(report),
        *_refusals(report),
        *_provenance(report),
    ]
    return "\n\n".join(parts) + "\n"


def _summary(report: Report) -> str:
    total, provenance = whole(report), main_provenance(report)
    if total is None:
        return "The ledger has no stages."
    inside = [total.difference, total.interval, total.change]
    return (
        f"{ARROWS[total.trend]} **{total.before} → {total.after}** "
        f"({'; '.join(part for part in inside if part)}), {where(provenance)}: "
        f"{_text(provenance.machine)}, input {_text(shapes(report))}."
    )


def _passes(report: Report) -> Iterator[str]:
    rows = [row for row in report.ledger.rows if not is_idle(row)]
    alone = any(row.leave_one_out for row in rows)
    gated = any(row.kept is not None for row in rows)
    scale = ledger_scale(report)
    head = ["pass", "nodes", "kernels", f"{quantity(report)}, {scale.name}", "difference"]
    head += ["95 % interval"] + ["leave-one-out"] * alone + ["gate"] * gated + ["relative error"]
    cells = []
    for row in rows:
        line = [_code(row.name), str(row.nodes), str(row.kernels)]
        line += [scale.number(row.cost.total.value)]
        line += [
            _difference(row.difference, scale),
            interval(row.difference, scale, signed=True) if row.difference else "",
        ]
        line += [_without(row, scale)] * alone + [_gate(row)] * gated + [error(row.relative_error)]
        cells.append(line)
    if cells:
        yield _table(head, "l" + "r" * (len(head) - 1), cells)
    idle = [row.name for row in report.ledger.rows if is_idle(row)]
    if idle:
        yield f"Nothing to do here: {', '.join(_code(name) for name in idle)}."


def _kernels(report: Report) -> Iterator[str]:
    profile = final_profile(report)
    if profile is None or not profile.kernels:
        return
    head = ["#", "kernel", "module", "class", "cost", "share", "of its roofline"]
    heaviest = sorted(profile.kernels, key=lambda row: row.cost.value, reverse=True)
    cells = [
        [
            str(row.index),
            _code(row.kernel),
            _modules(row.sources),
            row.survey_class,
            _value(row.cost),
            percent(row.share, 1),
            "" if row.roofline_share is None else percent(row.roofline_share),
        ]
        for row in heaviest[:MAX_KERNELS]
    ]
    body = [_peaks(profile), _table(head, "rlllrrr", cells)]
    others = heaviest[MAX_KERNELS:]
    if others:
        share = percent(sum(row.share for row in others), 1)
        body.append(f"{len(others)} more take {share} together.")
    yield _folded(f"Kernels: {len(profile.kernels)} after {_text(profile.stage)}", body)


def _peaks(profile: Profile) -> str:
    peaks = [f"{name} peak {_value(peak)}" for name, peak in profile.peaks.items()]
    return "; ".join([f"Whole model {_value(profile.whole)}", *peaks]) + "."


def _refusals(report: Report) -> Iterator[str]:
    found = [(row, refusals(row)) for row in report.ledger.rows if row.refused]
    if not found:
        return
    lines = []
    for row, reasons in found:
        lines.append(f"- {_code(row.name)}")
        for reason, places in reasons:
            named = ", ".join(_code(place.source or place.where) for place in places[:MAX_PLACES])
            more = f" and {len(places) - MAX_PLACES} more" if len(places) > MAX_PLACES else ""
            lines.append(f"  - {_text(reason)}: {named}{more}")
    count = sum(len(row.refused) for row, _ in found)
    yield _folded(f"Refusals: {count}, each with its reason", ["\n".join(lines)])


def _provenance(report: Report) -> Iterator[str]:
    ledger = report.ledger
    rounds = "1 round" if ledger.rounds == 1 else f"{ledger.rounds} rounds"
    lines = [f"- made by {_code(report.command)}"] if report.command else []
    lines.append(f"- {rounds} in turns, {ledger.seconds:.0f} s")
    lines += [f"- {_code(key)}: {_origin(entry)}" for key, entry in report.provenances.items()]
    yield _folded("Provenance", ["\n".join(lines)])


def _origin(entry: Provenance) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(entry.versions.items()))
    parts = (where(entry), f"target {entry.target}", entry.machine, entry.date, versions)
    return _text("; ".join(part for part in parts if part))


def _modules(sources: Sequence[str]) -> str:
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return f"{_code(sources[0])}{more}" if sources else ""


def _value(figure: Figure) -> str:
    return human(figure.value, figure.unit)


def _difference(figure: Figure | None, scale: Scale) -> str:
    if figure is None:
        return ""
    if figure.low == figure.high == figure.value == 0:
        return "0"
    return f"{ARROWS[trend(figure)]} {scale.number(figure.value, signed=True)}"


def _without(row: Row, scale: Scale) -> str:
    if row.leave_one_out is None:
        return "required" if row.required else ""
    return _difference(row.leave_one_out, scale)


def _gate(row: Row) -> str:
    return "" if row.kept is None else "kept" if row.kept else "**dropped**"


def _table(head: Sequence[str], alignment: str, rows: Iterable[Sequence[str]]) -> str:
    rule = ["---:" if side == "r" else "---" for side in alignment]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def _folded(title: str, body: Sequence[str]) -> str:
    return "\n\n".join([f"<details><summary>{title}</summary>", *body, "</details>"])


def _code(text: str) -> str:
    """`text` as code; what could end the code or the table's cell becomes an entity."""
    flat = " ".join(text.split())
    if not flat:
        return ""
    return f"`{flat}`" if _PLAIN.fullmatch(flat) else f"<code>{_text(flat)}</code>"


def _text(text: str) -> str:
    """`text` in which nothing is markup, neither Markdown's nor HTML's."""
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", " ".join(text.split()))
