"""Instructions of one inference on arm64, by class: ours beside the peers' own arm64 wheels.

    python benchmarks/arm64.py
    python benchmarks/arm64.py efficientformer_l1 --peers ort,ncnn,mnn,mnn-tanh --json FILE
    python benchmarks/arm64.py --goal efficientformer_l1=400 --goal efficientformerv2_s0=150

Everyone runs under `qemu-aarch64`, on the same emulated CPU, in fp32 with one thread; a plugin
counts every instruction.  Peers run in an arm64 Python that the command puts into the user's
cache folder on first use (`arm64_python.py`); `mnn-tanh` is explained in `arm64_count.py`.

What is counted is one more call in a process that has made some: ours from one to two, theirs
from two to three.  All outputs are compared with eager PyTorch on random weights; a peer that
is wrong is said so and not counted.

Instructions are not time: they say how much a kernel asks of a core, not how well it fits one.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

# Python puts this file's folder on the path, not the one above it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.arm64_count import PEERS, TARGET, Row, count_ours, count_peer, emulated_cpu
from benchmarks.arm64_python import arm64_python
from benchmarks.case import open_case
from benchmarks.output import console, table, write_json
from benchmarks.peers.registry import FILE_PEERS, OURS
from benchmarks.provenance import provenance
from efcompile.devices.arm64_python import Arm64Python
from efcompile.devices.emulator import emulator_version
from efcompile.errors import EfcompileError

_MODELS = ("efficientformer_l1", "efficientformerv2_s0")


def main(
    models: Annotated[
        list[str] | None, typer.Argument(help="Default: " + ", ".join(_MODELS))
    ] = None,
    peers: Annotated[str, typer.Option(help="Comma-separated")] = ",".join(PEERS),
    goal: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL=MILLIONS",
            help="Exit 1 if ours takes more, or not less than every peer; repeatable",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write figures here")
    ] = None,
) -> None:
    """Print a table per model."""
    wanted, goals = chosen(peers), parsed(goal or [])
    sources = models or list(_MODELS)
    if absent := goals.keys() - set(sources):
        raise typer.BadParameter(f"goals for models not asked for: {', '.join(sorted(absent))}")
    found, shortfalls = {}, []
    try:
        python = arm64_python()
        for source in sources:
            rows, refused = _measure(source, wanted, python)
            console.print(figures(source, rows))
            for name, reason in refused.items():
                console.print(f"{name} cannot take part: {reason}", markup=False)
            found[source] = {"rows": [_record(row, rows) for row in rows], "refused": refused}
            shortfalls += missed(source, rows, goals.get(source), refused)
    except EfcompileError as error:
        console.print(str(error), markup=False)
        raise typer.Exit(1) from error
    emulated = {"cpu": emulated_cpu(), "qemu": emulator_version()} | python.versions()
    console.print("emulated: " + ", ".join(f"{what} {which}" for what, which in emulated.items()))
    where = provenance([OURS, *(FILE_PEERS[_runtime(name)] for name in wanted)])
    write_json(
        json_file,
        {"provenance": where, "emulated": emulated, "target": TARGET, "figures": found},
    )
    for reason in shortfalls:
        console.print(reason, markup=False)
    if shortfalls:
        raise typer.Exit(1)


def chosen(names: str) -> list[str]:
    """The peers of a comma-separated list; `typer.BadParameter` for one that cannot run."""
    wanted = [name for name in names.split(",") if name]
    unknown = [name for name in wanted if name not in PEERS]
    if unknown or not wanted:
        raise typer.BadParameter(f"unknown peers {unknown}; choose from {', '.join(PEERS)}")
    for name in wanted:
        if missing := FILE_PEERS[_runtime(name)].missing():
            raise typer.BadParameter(
                f"converting for {name} needs {', '.join(missing)}: pip install -e '.[bench]'"
            )
    return wanted


def parsed(goals: Sequence[str]) -> dict[str, float]:
    """``MODEL=MILLIONS`` by model; `typer.BadParameter` for anything else."""
    found = {}
    for text in goals:
        model, _, millions = text.rpartition("=")
        try:
            found[model] = float(millions)
        except ValueError:
            model = ""
        if not model:
            raise typer.BadParameter(f"{text!r} is not of the form MODEL=MILLIONS")
    return found


def best(rows: Sequence[Row]) -> Row | None:
    """The peer with the fewest instructions, of those that are right."""
    peers = [row for row in rows if row.name != OURS.name and row.right]
    return min(peers, key=lambda row: row.counts.total, default=None)


def missed(
    model: str, rows: Sequence[Row], goal: float | None, refused: Iterable[str] = ()
) -> list[str]:
    """Why `rows` fall short of `goal` millions, if they do; a wrong result always does, and
    nobody is below a peer that was asked for and `refused`."""
    ours = next(row for row in rows if row.name == OURS.name)
    reasons = []
    if not ours.right:
        reasons.append(f"{model}: ours differs from eager PyTorch by {ours.error:.1e}")
    if goal is None:
        return reasons
    millions = ours.counts.total / 1e6
    if millions > goal:
        reasons.append(f"{model}: {millions:.1f} M instructions are above the goal of {goal:g} M")
    reasons += [f"{model}: not compared with {name}" for name in refused]
    least = best(rows)
    if least is None:
        reasons.append(f"{model}: no peer to compare with")
    elif ours.counts.total >= least.counts.total:
        peer = f"{least.name}'s {least.counts.total / 1e6:.1f} M"
        reasons.append(f"{model}: {millions:.1f} M instructions are not below {peer}")
    return reasons


def figures(model: str, rows: Sequence[Row]) -> Table:
    """One row a contestant; the best peer is marked."""
    columns = ("contestant", "total", "fmla", "simd", "loads", "stores", "other", "ours / it")
    least = best(rows)
    lines = []
    for row in rows:
        counts = row.counts
        rest = counts.branch + counts.other
        parts = (counts.total, counts.fmla, counts.simd, counts.load, counts.store, rest)
        cells = [f"{part / 1e6:.1f}" for part in parts]
        ratio = f"{_ratio(row, rows):.3f}" + (" best" if row is least else "")
        parity = f"{row.error:.1e}" + ("" if row.right else " WRONG, not counted")
        lines.append([row.name, *cells, ratio, parity])
    title = f"{model}: million instructions of one inference, arm64 fp32, one thread"
    return table(title, (*columns, "parity"), lines)


def _measure(
    source: str, peers: Sequence[str], python: Arm64Python
) -> tuple[list[Row], Mapping[str, str]]:
    """The rows of one model, ours first, and why a peer has none."""
    refused = {}
    with open_case(source) as case:
        rows = [count_ours(case)]
        for name in peers:
            try:
                row = count_peer(case, name, python)
            except Exception as problem:  # whatever a peer raises for a model it cannot take
                refused[name] = str(problem)
                continue
            if row is not None:
                rows.append(row)
    return rows, refused


def _record(row: Row, rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "contestant": row.name,
        "instructions": {"total": row.counts.total} | asdict(row.counts),
        "ours_to_it": _ratio(row, rows),
        "error": row.error,
        "counted": row.right,
        "best_peer": row is best(rows),
    }


def _ratio(row: Row, rows: Sequence[Row]) -> float:
    ours = next(one for one in rows if one.name == OURS.name)
    return ours.counts.total / row.counts.total


def _runtime(name: str) -> str:
    return name.partition("-")[0]


if __name__ == "__main__":
    typer.run(main)
