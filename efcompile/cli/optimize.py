"""``efcompile optimize``: compile a model, say what was done, check and time the result."""

from pathlib import Path
from typing import Annotated

import typer

from efcompile.cli import options
from efcompile.cli.console import err, say


def optimize(
    model: options.Model,
    target: options.Target = "host",
    cpu: options.Cpu = None,
    mattr: options.Mattr = None,
    out: Annotated[Path, typer.Option(help="The folder to write the bundle into")] = Path("build"),
    checkpoint: options.Checkpoint = None,
    batch: options.Batch = 1,
    resolution: options.Resolution = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="To cut kernels for, check and time with; default: all cores"),
    ] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="Keep weights at their size, for a little speed")
    ] = False,
    passes: options.Passes = None,
    disable_pass: options.DisablePass = None,
    tuning_records: options.TuningRecords = None,
    emulated_records: options.EmulatedRecords = False,
    tuned: options.Tuned = True,
    lock: Annotated[
        Path | None,
        typer.Option(help="Obey the decision of `efcompile report --gate --lock FILE`"),
    ] = None,
    print_after: Annotated[
        list[str] | None,
        typer.Option(metavar="PASS", help="Print the graph after a pass, to stderr (repeatable)"),
    ] = None,
    json: options.Json = False,
) -> None:
    """Compile MODEL for a target into a bundle, and print the bundle's path last.

    Every pass is checked against its input graph.  Where the target runs on this machine, the
    result is compared with eager PyTorch and timed beside it.  A wrong result is an error.
    """
    # All that follows needs torch and TVM, which take seconds to import.
    import efcompile
    from efcompile.cli.graph_text import graph_text
    from efcompile.cli.locked import obeying
    from efcompile.cli.progress import steps
    from efcompile.cli.results import beside_eager, print_results, results_json
    from efcompile.cli.source import prepare
    from efcompile.errors import InputError
    from efcompile.kernels.tuning_records import find_knobs
    from efcompile.passes.manager import Stage
    from efcompile.passes.pipeline import build_pipeline, pass_named
    from efcompile.targets.resolve import resolve

    # What may be refused is refused before minutes of work.
    features = options.features(mattr)
    described = resolve(target, cpu=cpu, features=features, compact=compact, threads=threads)
    knobs = find_knobs(described, tuning_records, emulated=emulated_records, tuned=tuned)
    splits = knobs.source.splits(described)
    pipeline = build_pipeline(options.names(passes), disable_pass or (), splits)
    printed = {pass_named(name).name for name in print_after or ()}
    if missing := printed - {step.name for step in pipeline}:
        raise InputError(f"cannot print the graph after {', '.join(missing)}: it is not to run")
    source = prepare(model, checkpoint, batch, resolution)
    if lock is not None:
        pipeline = obeying(lock, pipeline, source, described)
    say(f"{source.name} for {described.triple}, {described.cpu}: {source.weights}")

    finishing = "kernels and bundle"
    with steps([*(step.name for step in pipeline), finishing]) as progress:

        def hook(stage: Stage) -> None:
            progress.done(stage.name)
            if stage.name in printed:
                say(f"after {stage.name}:\n{graph_text(stage.graph_module)}")

        compiled = efcompile.optimize(
            source.module,
            source.inputs,
            target=target,
            cpu=cpu,
            features=features,
            compact=compact,
            passes=pipeline,
            threads=threads,
            name=source.name,
            out=out,
            hook=hook,
            tuning_records=tuning_records,
            emulated_records=emulated_records,
            tuned=tuned,
        )
        progress.done(finishing)
    assert compiled.history is not None
    times = None
    if compiled.history.parity is not None:
        with err.status("timing"):
            times = beside_eager(compiled, source)
    if json:
        results_json(compiled, source, times)
    else:
        print_results(compiled, times)
