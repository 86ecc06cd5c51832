"""``efcompile tune``: find better knobs than those in use, by measuring on a device."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from efcompile.cli import device_options, options
from efcompile.cli.console import say


def tune(
    context: typer.Context,
    model: options.Model,
    target: Annotated[
        str | None,
        typer.Option(
            help="host, an alias (`efcompile devices`), a triple",
            show_default="host; --device adb: android; qemu, rpc: arm64",
        ),
    ] = None,
    device: device_options.Device = "local",
    trials: Annotated[
        int,
        typer.Option(
            min=1, help="Candidates to try in all, those the work folder knows already included"
        ),
    ] = 400,
    work_dir: Annotated[
        Path, typer.Option(help="Records go there; run again with the same to go on")
    ] = Path("tuning"),
    tasks: Annotated[int, typer.Option(min=1, help="How many kernels, the heaviest first")] = 10,
    threads: Annotated[int, typer.Option("--threads", "--num-threads", min=1)] = 1,
    tracker: device_options.Tracker = None,
    server: device_options.Server = None,
    key: device_options.Key = None,
    serial: device_options.Serial = None,
    cpu: options.Cpu = None,
    mattr: options.Mattr = None,
    checkpoint: options.Checkpoint = None,
    batch: options.Batch = 1,
    resolution: options.Resolution = None,
    passes: options.Passes = None,
    disable_pass: options.DisablePass = None,
    tuned: options.Tuned = True,
    json: options.Json = False,
) -> None:
    """Search better knobs for the heaviest kernels of MODEL, on the device that will run it.

    What wins a second measurement, side by side with what is in use, is kept in the work folder,
    where `efcompile optimize --tuning-records` finds it.  Ends with the whole model before and
    after.  Ctrl-C stops early, keeps what was found, and reports it.  With --no-tuned it starts
    from the analytic defaults, not from the winners that ship.
    """
    # All that follows needs torch and TVM, which take seconds to import.
    import efcompile
    from efcompile.bundle.toolchain import object_toolchain
    from efcompile.cli.interruption import stop_on_interrupt
    from efcompile.cli.source import prepare
    from efcompile.cli.tuning_results import print_tuned, tuned_json
    from efcompile.cli.tuning_watch import tuning_watch
    from efcompile.errors import DeviceError
    from efcompile.passes.pipeline import build_pipeline
    from efcompile.targets.resolve import resolve

    # What may be refused is refused before minutes of work.
    features = options.features(mattr)
    named = target or device_options.default_target(device)
    described = resolve(named, cpu=cpu, features=features)
    chosen = device_options.together(device, tracker=tracker, server=server, key=key, serial=serial)
    problem = chosen.unavailable() or chosen.refuses(described)
    if problem:
        raise DeviceError(problem)
    object_toolchain(described)
    build_pipeline(options.names(passes), disable_pass or ())
    source = prepare(model, checkpoint, batch, resolution)
    say(f"{source.name} for {described.triple} on {chosen.name}: {source.weights}")
    compiled = efcompile.optimize(
        source.module,
        source.inputs,
        target=named,
        cpu=cpu,
        features=features,
        passes=options.names(passes),
        disable=disable_pass or (),
        tuned=tuned,
        name=source.name,
    )
    with (
        stop_on_interrupt(_stopping) as stop,
        tuning_watch(stop.is_set) as watch,
    ):
        better = compiled.tune(
            device=chosen,
            trials=trials,
            tasks=tasks,
            work_dir=work_dir,
            threads=threads,
            watch=watch,
            stop=stop,
        )
    assert better.improvement is not None
    command = _command(context, target, named)
    if json:
        tuned_json(better.improvement, command)
    else:
        print_tuned(better.improvement, command)


def _command(context: typer.Context, target: str | None, named: str) -> list[str]:
    """`efcompile optimize` with those of the options that decide what is compiled."""
    from efcompile.cli.command_line import command_line

    kept = ("model", "target", "cpu", "mattr", "checkpoint", "batch", "resolution", "passes")
    words = shlex.split(command_line(context, (*kept, "disable_pass")))
    by_default = ["--target", named] if target is None and named != "host" else []
    return [words[0], "optimize", *words[2:], *by_default]


def _stopping() -> None:
    say("stopping: trials in flight are finished, what was found is kept; Ctrl-C ends at once")
