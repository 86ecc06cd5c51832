"""``efcompile report``: what each pass brought, measured."""

from pathlib import Path
from typing import Annotated

import typer

from efcompile.cli import options
from efcompile.cli.console import out, say


def report(
    context: typer.Context,
    model: options.Model,
    target: Annotated[str, typer.Option(help="host, an alias (`efcompile devices`), a triple")] = (
        "host"
    ),
    device: Annotated[str, typer.Option(help="local (times) or qemu (instructions)")] = "local",
    cpu: Annotated[
        str | None, typer.Option(help="The core to tune for, instead of the target's")
    ] = None,
    mattr: Annotated[
        str | None,
        typer.Option(help="The CPU features to use, instead of the core's: avx2,fma"),
    ] = None,
    checkpoint: options.Checkpoint = None,
    batch: options.Batch = 1,
    resolution: options.Resolution = None,
    threads: Annotated[int, typer.Option("--threads", "--num-threads", min=1)] = 1,
    passes: options.Passes = None,
    disable_pass: options.DisablePass = None,
    budget: Annotated[
        float | None,
        typer.Option(
            help="Seconds that measuring may take; building comes before and does not count. "
            "Less time, fewer rounds, wider intervals; local only",
            show_default="60",
        ),
    ] = None,
    leave_one_out: Annotated[
        bool, typer.Option("--leave-one-out", help="Also the whole pipeline without each pass")
    ] = False,
    profile: Annotated[
        bool, typer.Option(help="Also profile the first and the last stage, call by call")
    ] = True,
    json: Annotated[Path | None, typer.Option(help="Write the report as JSON")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write it for a pull request")] = None,
    html: Annotated[Path | None, typer.Option(help="Write it as one page")] = None,
) -> None:
    """Compile MODEL stage by stage and measure what each pass brings on a device.

    Every distinct stage, from the graph as captured to the finished one, runs in our kernels,
    checked first, all in turns in one run; the differences add up to the whole.
    """
    # All that follows needs torch and TVM, which take seconds to import.
    from efcompile.bundle.toolchain import object_toolchain
    from efcompile.cli.command_line import command_line
    from efcompile.cli.ledger_table import ledger_tables
    from efcompile.cli.phases import phases
    from efcompile.cli.source import prepare
    from efcompile.devices.registry import get_device
    from efcompile.passes.pipeline import build_pipeline
    from efcompile.report.contest import check_budget
    from efcompile.report.files import write_text
    from efcompile.report.html import render_html
    from efcompile.report.ledger import measure_ledger
    from efcompile.report.markdown import render_markdown
    from efcompile.report.schema import write_report
    from efcompile.report.stages import check_runs
    from efcompile.report.subject import subject_of
    from efcompile.targets.resolve import resolve

    # What may be refused is refused before minutes of work.
    described = resolve(target, cpu=cpu, features=options.features(mattr))
    chosen = get_device(device)
    check_runs(chosen, described)
    check_budget(chosen, budget)
    object_toolchain(described)
    pipeline = build_pipeline(options.names(passes), disable_pass or ())
    source = prepare(model, checkpoint, batch, resolution)
    say(f"{source.name} for {described.triple} on {chosen.name}: {source.weights}")
    with phases() as watch:
        made = measure_ledger(
            subject_of(source.module, source.inputs, pipeline, source.name, watch),
            described,
            chosen,
            threads,
            budget=budget,
            leave_one_out=leave_one_out,
            profiles=profile,
            command=command_line(context),
            watch=watch,
        )
    # First what no full disk can take away.
    out.print(ledger_tables(made))
    if json:
        write_report(made, json)
    if markdown:
        write_text(render_markdown(made), markdown)
    if html:
        write_text(render_html(made), html)
