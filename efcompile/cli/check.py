"""``efcompile check``: is the model still as fast as a saved report says?"""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from efcompile.cli import options
from efcompile.cli.console import out, print_json, say

if TYPE_CHECKING:
    from efcompile.report.check import Checked

# What options raise that do not parse: typer has it from click, or as its own.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def check(
    report: Annotated[Path, typer.Argument(help="What `efcompile report ... --json` wrote")],
    budget: Annotated[
        float | None,
        typer.Option(help="Seconds that measuring may take; local only", show_default="20"),
    ] = None,
    slack: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="What two runs may differ by beyond their intervals, as a share",
            show_default="0.05 for times, 0 for counts",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Measure again what REPORT is about, and exit with 1 if it has become slower.

    The model is made and compiled as the report's command says, by the efcompile that runs now,
    and measured on the same device; it counts as slower where the quartiles of the two are apart
    by more than the slack, three times in a row.
    """
    # All that follows needs torch and TVM, which take seconds to import.
    from efcompile.cli.locked import obeying
    from efcompile.cli.phases import phases
    from efcompile.cli.source import prepare
    from efcompile.cli.tuned import knobs_for
    from efcompile.devices.registry import get_device
    from efcompile.passes.pipeline import build_pipeline
    from efcompile.report.check import check_report, pipeline_of
    from efcompile.report.contest import check_budget
    from efcompile.report.schema import read_report
    from efcompile.report.stages import check_runs
    from efcompile.report.subject import subject_of
    from efcompile.targets.resolve import resolve

    saved = read_report(report)
    given = _given(saved.command, report)
    features = options.features(given["mattr"])
    described = resolve(given["target"], cpu=given["cpu"], features=features)
    chosen = get_device(given["device"])
    check_runs(chosen, described)
    check_budget(chosen, budget)
    records = None if given["tuning_records"] is None else Path(given["tuning_records"])
    knobs = knobs_for(described, records, given["emulated_records"], given["tuned"])
    pipeline = build_pipeline(
        options.names(given["passes"]), given["disable_pass"] or (), knobs.splits(described)
    )
    checkpoint = None if given["checkpoint"] is None else Path(given["checkpoint"])
    source = prepare(given["model"], checkpoint, given["batch"], given["resolution"])
    if given["lock"] is not None and given["gate"] is None:
        pipeline = obeying(Path(given["lock"]), pipeline, source, described)
    say(f"{source.name} for {described.triple} on {chosen.name}: {source.weights}")
    with phases() as watch:
        subject = subject_of(
            source.module, source.inputs, pipeline_of(saved, pipeline), source.name, watch, knobs
        )
        found = check_report(
            saved, subject, described, chosen, budget=budget, slack=slack, watch=watch
        )
    if json:
        print_json(_document(found))
    else:
        _print(found, saved.model)
    if found.verdict == "slower":
        raise typer.Exit(1)


def _given(command: str, path: Path) -> dict[str, Any]:
    """The values of every option of the `efcompile report` that made the report."""
    from efcompile.cli.main import app
    from efcompile.errors import ReportError

    words = shlex.split(command)
    if words[:2] != ["efcompile", "report"]:
        raise ReportError(
            f"{path} was made by `{command}`, which cannot be run again from here: make a report "
            "to check with `efcompile report MODEL ... --json FILE`"
        )
    verb = typer.main.get_group(app).commands["report"]
    try:
        return verb.make_context("report", words[2:]).params
    except _UsageError as error:
        raise ReportError(
            f"{path} was made by `{command}`, which this efcompile does not understand ({error}); "
            "make the report again"
        ) from error


def _print(found: "Checked", model: str) -> None:
    from efcompile.report.units import Scale, interval, scale_for

    where = found.provenance
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.title = f"{model}, {where.kind} on {where.device}, {where.threads} thread(s)"
    table.add_column("")
    scale: Scale = scale_for(found.saved.unit, found.captured[0].value)
    for column in ("saved", "quartiles", "now", "quartiles", "ratio"):
        table.add_column(column, justify="right")
    for name, (saved, fresh) in {
        "as captured": found.captured,
        "optimised": (found.saved, found.fresh),
    }.items():
        ratio = f"{fresh.value / saved.value:.3f}"
        cells = [(scale.text(f.value), interval(f, scale)) for f in (saved, fresh)]
        table.add_row(name, *cells[0], *cells[1], ratio)
    out.print(table)
    for line in _verdict(found):
        out.print(line, markup=False)


def _verdict(found: "Checked") -> list[str]:
    ratio = found.fresh.value / found.saved.value
    if found.verdict == "as fast":
        return ["no regression: as fast as the report"]
    if found.verdict == "faster":
        return [f"no regression: {ratio:.3f} of the report; save a new one to hold it to that"]
    lines = [f"regression: {ratio:.3f} of the report's, beyond the noise"]
    machine = found.captured[1].value / found.captured[0].value
    if found.provenance.kind == "measured" and machine > 1 + found.slack:
        lines.append(
            f"the graph as captured takes {machine:.3f} of what it did, too: the machine may be "
            "slower or busy"
        )
    return lines


def _document(found: "Checked") -> dict[str, Any]:
    return {
        "verdict": found.verdict,
        "saved": found.saved.model_dump(),
        "fresh": found.fresh.model_dump(),
        "captured": [figure.model_dump() for figure in found.captured],
        "provenance": found.provenance.model_dump(),
        "slack": found.slack,
        "attempts": found.attempts,
    }
