"""Memory that loading and running a model takes: ours beside its peers.

    python benchmarks/memory.py efficientformer_l1 efficientformerv2_s0

For each contestant the model's files are made first; then a fresh process imports the runtime,
loads them and runs three times (`benchmarks/memory_child.py`).  `growth` is the most that was
resident after the import beyond what was resident before the model; `own` and `file` say what
of it was left after the runs: pages of the process, and mapped files.  `total` is the most ever,
Python and the runtime included.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypedDict, cast

import numpy as np
import typer

# Python puts this file's folder on the path, not the one above it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.case import Case, open_case, relative_errors
from benchmarks.memory_child import Usage
from benchmarks.output import console, table, write_json
from benchmarks.peers.peer import FilePeer
from benchmarks.peers.registry import OURS, chosen
from benchmarks.provenance import lines, provenance
from efcompile.bundle.sample import TOLERANCE

_CHILD = Path(__file__).with_name("memory_child.py")
_MODELS = ("efficientformer_l1", "efficientformerv2_s0")


class Figure(TypedDict):
    """One model: usage by contestant, the peer with the least growth, and the reasons of those
    left out."""

    model: str
    threads: int
    usage: dict[str, Usage]
    best: str | None
    refused: dict[str, str]


def main(
    models: Annotated[list[str] | None, typer.Argument(help="Default: L1 and V2's S0")] = None,
    peers: Annotated[
        str | None, typer.Option(help="Comma-separated; default: the installed ones")
    ] = None,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write figures here")
    ] = None,
) -> None:
    """Print the memory of ours and of each peer that loads models from files."""
    try:
        named = chosen(peers)
    except ValueError as problem:
        raise typer.BadParameter(str(problem)) from problem
    taking_part = [peer for peer in named if isinstance(peer, FilePeer)]
    figures = []
    for source in models or _MODELS:
        with open_case(source) as case:
            figures.append(memory(case, taking_part, threads))
        console.print(_table(figures[-1]))
        for name, reason in figures[-1]["refused"].items():
            console.print(f"{name} {reason}", markup=False)
    where = provenance([OURS, *taking_part])
    console.print("\n".join(lines(where)))
    write_json(json_file, {"provenance": where, "figures": figures})


def memory(case: Case, peers: Sequence[FilePeer], threads: int) -> Figure:
    """Measure one model; a peer that fails or is wrong is left out with its reason."""
    usage = {OURS.name: measure(case, OURS, threads)}
    refused = {}
    for peer in peers:
        try:
            usage[peer.name] = measure(case, peer, threads)
        except Exception as problem:
            refused[peer.name] = f"refuses: {problem}"
    others = [name for name in usage if name != OURS.name]
    best = min(others, key=lambda name: usage[name]["growth"], default=None)
    return {
        "model": case.source,
        "threads": threads,
        "usage": usage,
        "best": best,
        "refused": refused,
    }


def measure(case: Case, peer: FilePeer, threads: int) -> Usage:
    """Prepare files, run the child.  Raises `RuntimeError` if it fails or its outputs are not
    eager's."""
    files = peer.prepared(case)
    given, made = case.folder / "input.npy", case.folder / f"{peer.name}.npz"
    np.save(given, case.input)
    command = [sys.executable, str(_CHILD), peer.name, str(files), str(given), str(made)]
    command.append(str(threads))
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [""]
        raise RuntimeError(f"exit status {done.returncode}: {said[-1][:300]}")
    with np.load(made) as outputs:
        error = relative_errors([outputs[key] for key in outputs.files], case.expected)
    if not error <= TOLERANCE:
        raise RuntimeError(f"wrong result: differs from eager by {error:.1e} of its scale")
    return cast(Usage, json.loads(done.stdout.splitlines()[-1]))


def _table(figure: Figure) -> object:
    mine = figure["usage"][OURS.name]["growth"]
    rows = []
    for name, usage in figure["usage"].items():
        cells = [usage["growth"], usage["own"], usage["file"], usage["runtime"], usage["total"]]
        relative = "" if name == OURS.name else f"{mine / usage['growth']:.2f}"
        torch = "yes" if usage["torch"] else "no"
        rows.append([name, *(f"{count / 1e6:.1f}" for count in cells), relative, torch])
    rows.sort(key=lambda row: float(row[1]))
    title = f"{figure['model']}, {figure['threads']} thread(s): resident MB"
    columns = ["", "growth", "own", "file", "runtime", "total", "ours / theirs", "torch"]
    return table(title, columns, rows)


if __name__ == "__main__":
    typer.run(main)
