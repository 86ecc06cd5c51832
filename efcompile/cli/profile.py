"""``efcompile profile``: where a bundle's time goes, call by call; the survey's figure."""

import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from efcompile.cli import options
from efcompile.cli.console import out, say

if TYPE_CHECKING:
    from efcompile.devices.device import Device

_BY = "kernel, call, class or module"


def profile(
    context: typer.Context,
    bundles: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BUNDLE]",
            help="The directory that `optimize` printed. With --by class also models by name, or "
            "nothing: the five models of the survey's figure",
            show_default=False,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="local (times) or qemu (instructions)")] = "local",
    threads: Annotated[int, typer.Option("--threads", "--num-threads", min=1)] = 1,
    by: Annotated[str, typer.Option(help=f"What makes a line: {_BY}")] = "kernel",
    depth: Annotated[
        int, typer.Option(min=1, help="Names of a module's path that --by module keeps")
    ] = 2,
    rounds: Annotated[
        int | None,
        typer.Option(min=4, help="Timed rounds; local only", show_default="60; models: 20"),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="What models are compiled for", show_default="host; qemu: arm64"),
    ] = None,
    tuning_records: options.TuningRecords = None,
    emulated_records: options.EmulatedRecords = False,
    tuned: options.Tuned = True,
    json: Annotated[Path | None, typer.Option(help="Write every figure as JSON")] = None,
    trace: Annotated[
        Path | None, typer.Option(help="Write a trace for ui.perfetto.dev or chrome://tracing")
    ] = None,
) -> None:
    """Say for every kernel of BUNDLE what it costs, what it could cost, and whose modules of the
    model it computes.

    On `local`, times beside the machine's own peaks, measured in the same run; on `qemu`, exact
    instructions.  `--by class` groups as the survey's figure does; for models it compiles each as
    captured and as optimised and prints both beside the published figures.
    """
    from efcompile.cli.command_line import command_line
    from efcompile.devices.registry import get_device
    from efcompile.report.files import write_text
    from efcompile.report.grouping import GROUPINGS

    given = bundles or []
    if by not in GROUPINGS:
        raise typer.BadParameter(f"{by!r} is none of {_BY}", param_hint="--by")
    chosen = get_device(device)
    if rounds is not None and device != "local":
        raise typer.BadParameter(f"{device} counts once: no --rounds", param_hint="--rounds")
    paths = [Path(name) for name in given if Path(name).is_dir()]
    command = command_line(context)
    tuning = (tuning_records, emulated_records, tuned)
    if by == "class" and not paths:
        if trace:
            raise typer.BadParameter("a trace is of one bundle", param_hint="--trace")
        document = _survey(given, target, chosen, threads, rounds, command, tuning)
    elif len(given) != 1:
        raise typer.BadParameter("give one bundle; models by name are for --by class alone")
    else:
        if target is not None:
            raise typer.BadParameter("a bundle has its target: no --target", param_hint="--target")
        if tuning != (None, False, True):
            raise typer.BadParameter(
                "a bundle has its knobs: give these where it is compiled",
                param_hint="--tuning-records, --emulated-records, --no-tuned",
            )
        document = _bundle(Path(given[0]), chosen, threads, by, depth, rounds, trace, command)
    if json:
        write_text(json_text.dumps(document, indent=1) + "\n", json)


def _bundle(
    path: Path,
    device: "Device",
    threads: int,
    by: Any,
    depth: int,
    rounds: int | None,
    trace_file: Path | None,
    command: str,
) -> dict[str, Any]:
    from efcompile.bundle.load import load_bundle
    from efcompile.cli.profile_table import profile_table
    from efcompile.report.files import write_text
    from efcompile.report.profile import ROUNDS, disturbance, profile_bundle, profile_provenance
    from efcompile.report.stages import check_runs
    from efcompile.report.trace import trace

    bundle = load_bundle(path)
    check_runs(device, bundle.manifest.target)
    found = profile_bundle(bundle, device, threads, rounds or ROUNDS)
    provenance = profile_provenance(bundle, device, threads)
    model = bundle.manifest.model
    if trace_file:
        write_text(json_text.dumps(trace(found, provenance, model)) + "\n", trace_file)
    out.print(profile_table(found, provenance, model, by, depth))
    if warning := disturbance(found):
        say(f"warning: {warning}")
    return {
        "format": 1,
        "command": command,
        "model": model,
        "provenances": {found.whole.provenance: provenance.model_dump()},
        "profiles": [found.model_dump()],
    }


def _survey(
    models: list[str],
    target: str | None,
    device: "Device",
    threads: int,
    rounds: int | None,
    command: str,
    tuning: tuple[Path | None, bool, bool],
) -> dict[str, Any]:
    from efcompile.cli.phases import phases
    from efcompile.cli.source import prepare
    from efcompile.cli.survey_table import survey_notes, survey_table
    from efcompile.cli.tuned import knobs_for
    from efcompile.devices.local import Local
    from efcompile.passes.pipeline import build_pipeline
    from efcompile.report.machine import measure
    from efcompile.report.profile import disturbance
    from efcompile.report.published import PUBLISHED
    from efcompile.report.stages import check_runs
    from efcompile.report.subject import subject_of
    from efcompile.report.survey import ROUNDS, survey, survey_json
    from efcompile.targets.resolve import resolve

    described = resolve(target or ("host" if isinstance(device, Local) else "arm64"))
    check_runs(device, described)
    knobs = knobs_for(described, *tuning)
    pipeline = build_pipeline(None, (), knobs.splits(described))
    machine = measure(threads) if isinstance(device, Local) else None
    rows = []
    for model in models or PUBLISHED:
        source = prepare(model)
        say(f"{model}: {source.weights}")
        with phases() as watch:
            subject = subject_of(source.module, source.inputs, pipeline, source.name, watch, knobs)
            rows.append(
                survey(
                    model,
                    subject,
                    described,
                    device,
                    threads,
                    rounds or ROUNDS,
                    machine=machine,
                    watch=watch,
                )
            )
    out.print(survey_table(rows))
    for note in survey_notes(rows):
        out.print(note, markup=False)
    for row in rows:
        for found in (row.before, row.after):
            if warning := disturbance(found):
                say(f"warning: {row.model} {found.stage}: {warning}")
    return survey_json(rows, command)
