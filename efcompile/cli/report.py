"""``efcompile report``: what each pass brought, measured."""

from pathlib import Path
from typing import Annotated

import typer

from efcompile.cli import options
from efcompile.cli.console import out, say


def report(
    context: typer.Context,
    model: options.Model,
    target: options.Target = "host",
    device: Annotated[str, typer.Option(help="local (times) or qemu (instructions)")] = "local",
    cpu: options.Cpu = None,
    mattr: options.Mattr = None,
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
    gate: Annotated[
        str | None,
        typer.Option(
            metavar="latency,numerics",
            help="Leave out passes that make it slower, that break the numbers, or both",
            show_default=False,
        ),
    ] = None,
    tuning_records: options.TuningRecords = None,
    emulated_records: options.EmulatedRecords = False,
    tuned: options.Tuned = True,
    lock: Annotated[
        Path | None,
        typer.Option(help="With --gate: write the decision there; else: obey the one there"),
    ] = None,
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
    from efcompile.cli.locked import obeying
    from efcompile.cli.phases import phases
    from efcompile.cli.source import prepare
    from efcompile.cli.tuned import knobs_for
    from efcompile.devices.registry import get_device
    from efcompile.passes.pipeline import build_pipeline
    from efcompile.report.contest import check_budget
    from efcompile.report.files import write_text
    from efcompile.report.gate import Gate, criteria
    from efcompile.report.html import render_html
    from efcompile.report.ledger import measure_ledger
    from efcompile.report.lock import LeftOut, decision_of, read_lock, write_lock
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
    knobs = knobs_for(described, tuning_records, emulated_records, tuned)
    splits = knobs.splits(described)
    pipeline = build_pipeline(options.names(passes), disable_pass or (), splits)
    judges = None if gate is None else criteria(gate)
    if lock is not None and (judges is None or lock.exists()):
        read_lock(lock)
    source = prepare(model, checkpoint, batch, resolution)
    if lock is not None and judges is None:
        pipeline = obeying(lock, pipeline, source, described)
    say(f"{source.name} for {described.triple} on {chosen.name}: {source.weights}")
    command = command_line(context)
    left_out: tuple[LeftOut, ...] = ()
    with phases() as watch:
        if judges is None:
            made = measure_ledger(
                subject_of(source.module, source.inputs, pipeline, source.name, watch, knobs),
                described,
                chosen,
                threads,
                budget=budget,
                leave_one_out=leave_one_out,
                profiles=profile,
                command=command,
                watch=watch,
            )
        else:
            gated = Gate(described, chosen, threads, judges, budget, watch, knobs).report(
                source.module,
                source.inputs,
                pipeline,
                source.name,
                leave_one_out=leave_one_out,
                profiles=profile,
                command=command,
            )
            made, left_out = gated.report, gated.left_out
    # First what no full disk can take away.
    out.print(ledger_tables(made))
    if judges is not None:
        for entry in left_out:
            out.print(f"gate: without {entry.name}: {entry.reason}", markup=False)
        if not left_out:
            out.print(f"gate: all passes stay in ({', '.join(judges)})", markup=False)
        if lock is not None:
            write_lock(decision_of(made, described, judges, left_out), lock)
    if json:
        write_report(made, json)
    if markdown:
        write_text(render_markdown(made), markdown)
    if html:
        write_text(render_html(made), html)
