"""Every distinct kernel of a model, timed as it runs in the network, beside what is possible.

    python benchmarks/kernels.py efficientformer_l1 efficientformerv2_s0
    python benchmarks/kernels.py efficientformer_l1 --only ffn     # after a change to one kernel
    python benchmarks/kernels.py --build F efficientformer_l1; taskset -c 1 \\
        python benchmarks/kernels.py --built F                     # time on a core of its own
    python benchmarks/kernels.py --isa avx2 efficientformer_l1     # code and peaks of AVX2
    python benchmarks/kernels.py --write-shapes efficientformer_l1

The model's own library runs the network with a clock around every call, so each kernel finds
caches and weights as they are there: weights that exceed the last-level cache come from memory.
`hot` is the same call made twice in a row, the second timed.  Figures are medians over rounds
(their sum is some per cent below the whole's median, in which no call has its median each time);
peaks (`machine.py`) are of the same run.  `bound` is the least possible time (`roofline.py`, from
counts in `work.py`) and what sets it.  FMA share is nominal flops by the peak; copy share is
bytes (operands and weights once) by the copy rate of the level that the larger of them fits.

Verdict, exit code 1 with --check: a GEMM-bound kernel should reach 85 % of the FMA peak, any
other 70 % of its bound; five may fall short, none of them with over 3 % of the time.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

# Python puts this file's folder on the path, not the one above it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import shape_lists
from benchmarks.avx2_host import HELP, Host, Isa, held_to
from benchmarks.evex_meter import objection, read
from benchmarks.kernel_table import kernel_table, summary, write_json
from benchmarks.prepared import Prepared, compiled, load, prepare
from benchmarks.provenance import lines, provenance
from benchmarks.rows import Times, failures, rows_of
from efcompile.bundle import sample
from efcompile.bundle.library import Library
from efcompile.report.machine import Machine, measure

_DEFAULT = ("efficientformer_l1", "efficientformerv2_s0")


def main(
    models: Annotated[
        list[str] | None, typer.Argument(help="Models; default: " + ", ".join(_DEFAULT))
    ] = None,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    rounds: Annotated[int, typer.Option(min=3)] = 40,
    only: Annotated[str, typer.Option(help="Show kernels whose name or shape has this")] = "",
    check: Annotated[bool, typer.Option("--check", help="Exit 1 if kernels fall short")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write figures here")
    ] = None,
    build: Annotated[Path | None, typer.Option(help="Compile into this folder, no timing")] = None,
    built: Annotated[Path | None, typer.Option(help="Time what --build left there")] = None,
    write_shapes: Annotated[
        bool, typer.Option("--write-shapes", help="Write the models' shape lists, no timing")
    ] = False,
    isa: Annotated[Isa, typer.Option(help=HELP)] = Isa.NATIVE,
) -> None:
    """Print a table per model."""
    chosen = models or list(_DEFAULT)
    console = Console(width=200 if not sys.stdout.isatty() else None)
    if write_shapes:
        for model in chosen:
            program = compiled(model, "arm64").program
            console.print(str(shape_lists.write(program.name, shape_lists.shape_list(program))))
        return
    host = held_to(isa, ())
    if build is not None:
        for model in chosen:
            console.print(str(prepare(model, build, host.cpu, threads).bundle.path))
        return
    with tempfile.TemporaryDirectory() as scratch:
        ready = (
            [prepare(model, Path(scratch), host.cpu, threads) for model in chosen]
            if built is None
            else load(built)
        )
        sampled = {prepared.model: checked(prepared, host) for prepared in ready}
        timed = [(prepared, timings(prepared, threads, rounds)) for prepared in ready]
        machine = measure(threads, host.target)
    for line in [*lines(provenance((), host)), _machine_line(machine)]:
        console.print(line, highlight=False)
    if host.held:
        console.print(f"AVX-512 in none of the instructions sampled: {sampled}", highlight=False)
    found = []
    for prepared, times in timed:
        rows = rows_of(prepared, times, machine)
        shown = [row for row in rows if only in row.kernel or only in row.shape]
        console.print(kernel_table(prepared.model, shown, threads))
        console.print(summary(rows, times), highlight=False)
        found += [f"{prepared.model}: {reason}" for reason in failures(rows)]
    for reason in found:
        console.print(reason, highlight=False)
    if json_file is not None:
        figures = [(p, t, rows_of(p, t, machine)) for p, t in timed]
        write_json(json_file, machine, figures, host, sampled)
    if check and found:
        raise typer.Exit(1)


def checked(prepared: Prepared, host: Host) -> int:
    """See that the model is compiled for `host`, and, where AVX-512 is held back, that it runs
    none; returns the instructions sampled for that.  `SystemExit` otherwise."""
    made_for = prepared.bundle.manifest.target.cpu
    if made_for != host.target.cpu:
        raise SystemExit(
            f"{prepared.model} was built for {made_for}, its bounds would be of "
            f"{host.target.cpu}: build and time with the same --isa"
        )
    if not host.held:
        return 0
    library = Library(prepared.bundle, threads=1)
    inputs, _ = sample.read(prepared.bundle)
    reading = read(lambda: library.run(inputs))
    if reason := objection(reading):
        raise SystemExit(f"{prepared.model} {reason}")
    return reading.samples


def timings(prepared: Prepared, threads: int, rounds: int) -> Times:
    """Time the whole model, its calls in the network and its calls hot, taking turns."""
    library = Library(prepared.bundle, threads)
    inputs, wanted = sample.read(prepared.bundle)
    error = sample.relative_error(library.run(inputs), wanted)
    if not error <= sample.TOLERANCE:
        raise SystemExit(f"{prepared.model} differs from eager PyTorch by {error:.1e}")
    whole, network, hot = [], [], []
    for turn in range(rounds + 2):
        start = time.perf_counter_ns()
        library.run(inputs)
        end = time.perf_counter_ns()
        calls, again = library.profile(inputs), library.profile(inputs, repeats=2)
        if turn >= 2:  # the first ones warm up
            whole.append(end - start)
            network.append(calls)
            hot.append(again)
    return Times(np.stack(network), np.stack(hot), np.array(whole))


def _machine_line(machine: Machine) -> str:
    levels = ", ".join(
        f"{level.name} {level.copy:.0f} ({level.read:.0f})" for level in machine.levels
    )
    return (
        f"peaks of {machine.threads} core(s) in this run: FMA {machine.fma:.0f} GFLOP/s; per ns "
        f"{machine.add:.0f} additions, {machine.load:.0f} loads, {machine.store:.0f} stores; "
        f"GB/s of copying (reading): {levels}"
    )


if __name__ == "__main__":
    typer.run(main)
