"""``efcompile diff``: where the numbers of the optimised model part from the original's."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from efcompile.cli import options
from efcompile.cli.console import out, say

if TYPE_CHECKING:
    from efcompile.devices.device import Device
    from efcompile.targets.target import Target

WIDTH = 150
"""Columns of output that is no terminal's."""


def diff(
    model: options.Model,
    target: options.Target = "host",
    device: Annotated[
        str | None,
        typer.Option(
            help="local or qemu; by default the one that runs the target's code, if any does",
            show_default=False,
        ),
    ] = None,
    cpu: options.Cpu = None,
    mattr: options.Mattr = None,
    checkpoint: options.Checkpoint = None,
    batch: options.Batch = 1,
    resolution: options.Resolution = None,
    threads: Annotated[int, typer.Option("--threads", "--num-threads", min=1)] = 1,
    passes: options.Passes = None,
    disable_pass: options.DisablePass = None,
    tuning_records: options.TuningRecords = None,
    emulated_records: options.EmulatedRecords = False,
    tuned: options.Tuned = True,
    bisect: Annotated[
        bool, typer.Option("--bisect", help="Name the first pass and node past the tolerance")
    ] = False,
    tolerance: Annotated[
        float, typer.Option(help="Largest accepted max|y - ref| / max|ref|")
    ] = 1e-4,
    json: Annotated[Path | None, typer.Option(help="Write it all as JSON")] = None,
) -> None:
    """Run MODEL as it is and optimised, stage by stage and node by node, on the same input.

    Nothing stops at a wrong pass: what it computes is shown.  Exits with 1 if anything is past
    the tolerance, as diff does.
    """
    # All that follows needs torch and TVM, which take seconds to import.
    from efcompile.bundle.toolchain import object_toolchain
    from efcompile.capture import capture
    from efcompile.cli.divergence_table import culprits, divergence_tables
    from efcompile.cli.phases import phases
    from efcompile.cli.source import prepare
    from efcompile.cli.tuned import knobs_for
    from efcompile.errors import InputError
    from efcompile.passes.manager import run_pipeline
    from efcompile.passes.pipeline import build_pipeline
    from efcompile.report.bisect import bisect as find
    from efcompile.report.divergence import diverge
    from efcompile.report.files import write_text
    from efcompile.report.observation import Rig
    from efcompile.report.subject import Subject
    from efcompile.targets.resolve import resolve

    # What may be refused is refused before minutes of work.
    if not tolerance > 0:
        raise InputError(f"--tolerance must be above zero, not {tolerance:g}")
    described = resolve(target, cpu=cpu, features=options.features(mattr))
    chosen = _device(device, described)
    if chosen is not None:
        object_toolchain(described)
    knobs = knobs_for(described, tuning_records, emulated_records, tuned)
    splits = knobs.splits(described)
    pipeline = build_pipeline(options.names(passes), disable_pass or (), splits)
    source = prepare(model, checkpoint, batch, resolution)
    where = chosen.name if chosen else "eager PyTorch only: no device here runs its code"
    say(f"{source.name} for {described.triple} on {where}: {source.weights}")
    captured = capture(source.module, source.inputs)
    with ExitStack() as stack:
        watch = stack.enter_context(phases())
        stages = run_pipeline(
            captured.graph_module, captured.example_inputs, pipeline, verify=False
        )
        subject = Subject(source.name, captured, pipeline, tuple(stages), knobs)
        rig = None
        if chosen is not None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="efcompile-")))
            rig = Rig(captured.example_inputs, described, chosen, threads, folder, knobs)
        found = find(subject, rig, tolerance, watch) if bisect else None
        made = diverge(subject, described.name, rig, tolerance, watch, found)
    # In a file or a pipe a table may be as wide as it is.
    wide = out if out.is_terminal else Console(width=WIDTH, highlight=False)
    wide.print(divergence_tables(made))
    for line in culprits(made):
        out.print(line, markup=False)
    if json:
        write_text(made.model_dump_json(indent=2) + "\n", json)
    if made.parted:
        raise typer.Exit(1)


def _device(name: str | None, target: "Target") -> "Device | None":
    """The device asked for, checked; else the first that runs code for `target` now."""
    from efcompile.devices.registry import DEVICES, get_device
    from efcompile.report.stages import check_runs

    if name is not None:
        chosen = get_device(name)
        check_runs(chosen, target)
        return chosen
    return next((d for d in DEVICES if d.refuses(target) is None and d.unavailable() is None), None)
