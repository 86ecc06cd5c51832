"""Which unit binds the hottest loop of each kernel on arm64 cores, by static analysis.

    python benchmarks/mca.py efficientformer_l1 --target cortex-a76

Each kernel is compiled for the target; of its innermost loops the one with the most
multiply-adds is analysed by llvm-mca (LLVM 17 or newer) with the models of several cores
(`pipes.py` says how far they are to be trusted).  Nothing is run or measured: a loop is taken
to hit L1 always.  Operations are vector arithmetic, multiply-adds included (in products they
are all there is); `spills` are loads and stores of the stack in the loop; `fma
pipes` is the share of their capacity that the loop's arithmetic takes, `binds` the pipes that
are full: ``width`` where the front end is, ``latency`` where nothing is.
"""

import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

# Python puts this file's folder on the path, not the one above it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.loops import Loop, hottest, instructions
from benchmarks.output import write_json
from benchmarks.pipes import CORES, Analysis, analyse, tool
from benchmarks.prepared import compiled
from benchmarks.provenance import provenance
from benchmarks.shape_lists import describe
from efcompile.lowering.program import KernelFunction, Program
from efcompile.targets.target import Target
from efcompile.tvm_api import build_object


def main(
    model: Annotated[str, typer.Argument(help="A model")] = "efficientformer_l1",
    target: Annotated[str, typer.Option(help="The arm64 target to compile for")] = "arm64",
    only: Annotated[str, typer.Option(help="Kernels whose name or shape has this")] = "",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write figures here")
    ] = None,
) -> None:
    """Print a table of kernels and cores."""
    program: Program = compiled(model, target).program
    if program.target.arch != "aarch64":
        raise typer.BadParameter(f"{target} is {program.target.arch}: choose an arm64 target")
    console = Console(width=200 if not sys.stdout.isatty() else None)
    table = Table(title=f"{model} for {target}: cycles per operation (fma pipes) binds")
    table.add_column("kernel", no_wrap=True)
    table.add_column("shape", overflow="fold")
    for name in ("fmla", "operations", "instr / op", "spills", *(core.name for core in CORES)):
        table.add_column(name, justify="right", no_wrap=True)
    figures: list[dict[str, Any]] = []
    for kernel in program.kernels.values():
        if only not in kernel.kernel and only not in describe(kernel.shape):
            continue
        loop = hottest_loop(kernel, program.target)
        if loop is None or loop.floats == 0:
            continue
        analyses = [analyse(loop.body, core) for core in CORES]
        table.add_row(kernel.kernel, describe(kernel.shape), *_cells(loop, analyses))
        figures.append(_figures(kernel, loop, analyses))
    console.print(table)
    document = {"format": 1, "kind": "modelled", "provenance": provenance(())}
    write_json(json_file, document | {"model": model, "target": target, "kernels": figures})


def hottest_loop(kernel: KernelFunction, target: Target) -> Loop | None:
    """The hottest loop of a kernel's code; None where it has no loop."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.o"
        path.write_bytes(build_object([kernel.func], target))
        command = [tool("llvm-objdump"), "-d", "--no-show-raw-insn", str(path)]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return hottest(instructions(shown, kernel.symbol))


def _cells(loop: Loop, analyses: list[Analysis]) -> list[str]:
    pipes = {core.name: core.floats for core in CORES}
    counts = [str(loop.fmlas), str(loop.floats), f"{len(loop.body) / loop.floats:.2f}"]
    return [
        *counts,
        str(loop.spills),
        *(
            f"{a.cycles / loop.floats:.2f} ({a.pressure.get(pipes[a.core], 0.0):.0%}) {a.binds}"
            for a in analyses
        ),
    ]


def _figures(kernel: KernelFunction, loop: Loop, analyses: list[Analysis]) -> dict[str, Any]:
    return {
        "symbol": kernel.symbol,
        "kernel": kernel.kernel,
        "shape": describe(kernel.shape),
        "instructions": len(loop.body),
        "fmlas": loop.fmlas,
        "floats": loop.floats,
        "spills": loop.spills,
        "cores": [asdict(a) | {"cycles_per_operation": a.cycles / loop.floats} for a in analyses],
    }


if __name__ == "__main__":
    typer.run(main)
