"""Cost against size: resolutions of EfficientFormer V2, batches of V1 and V2.

    python benchmarks/scale.py

At every size ours and its peers are timed in turns (`benchmarks/turns.py`); then, as sizes are
minutes apart and machines drift, ours at all sizes of a sweep.  `ms per GFLOP` is of these turns,
relative to the model at 224 pixels, batch 1; `ratio` is ours to the best peer at that size, and
`drift` how far it is from the ratio at 224 pixels, batch 1.  Flagged are a step from one size to
the next where our time grows more than the work by over `MARGIN`, and a ratio that is over `HOLD`
above the model's in `RATIOS`, or above that at 224 pixels if it is larger.  (What a peer takes for
every call, whatever its size, makes it look bad at small sizes: the less we take ourselves, the
more our ratio grows with size.  What must hold everywhere is the goal.)
GFLOP count what our kernels compute, a multiplication and an addition as two.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict

import typer

# Python puts this file's folder on the path, not the one above it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.avx2_host import HELP, NATIVE, Host, Isa, held_to
from benchmarks.case import DEFAULT_SIDE, open_case
from benchmarks.compare import compare
from benchmarks.output import console, table, write_json
from benchmarks.peers.ours import Ours, bundle_path
from benchmarks.peers.peer import Peer, Run
from benchmarks.peers.registry import OURS, PEERS, chosen
from benchmarks.provenance import lines, provenance
from benchmarks.turns import pause_for, ratio, take_turns
from efcompile.bundle.load import load_bundle

MARGIN = 0.05
HOLD = 0.10
RATIOS = {"efficientformer_l1": 0.80, "efficientformerv2_s0": 0.60}
"""Ours to the best peer, what we set out to reach at 224 pixels, batch 1."""
_RESOLUTIONS = (128, 160, 192, 224, 256, 288, 320, 384)
_BATCHES = (1, 2, 4, 8)
_DEFAULT_PEERS = "ort,openvino,ncnn"


@dataclass(frozen=True)
class Size:
    """A model at a batch and a resolution (the side of its square image)."""

    model: str
    resolution: int
    batch: int


SWEEPS = (
    tuple(Size("efficientformerv2_s0", side, 1) for side in _RESOLUTIONS),
    tuple(Size("efficientformer_l1", DEFAULT_SIDE, batch) for batch in _BATCHES),
    tuple(Size("efficientformerv2_s0", DEFAULT_SIDE, batch) for batch in _BATCHES),
)
"""Sizes in order of work; each sweep holds its model at 224 pixels, batch 1."""


class Point(TypedDict):
    """What was measured at a size: work, medians in ms, the ratio of ours to the best peer; the
    rest as in `compare.Figure`."""

    model: str
    resolution: int
    batch: int
    gflop: float
    ms: dict[str, float]
    best: str | None
    ratio: float | None
    refused: dict[str, str]
    sampled: dict[str, int]


class Row(Point):
    """A point in its sweep: its nanoseconds in turns with the other sizes, from these its cost per
    work relative to the base, the drift of the ratio from the base's, and what is flagged."""

    turns: list[int]
    relative_cost: float
    drift: float | None
    flags: list[str]


def main(
    models: Annotated[list[str] | None, typer.Argument(help="Only sweeps of these")] = None,
    peers: Annotated[
        str, typer.Option(help="Comma-separated: " + ", ".join(PEERS))
    ] = _DEFAULT_PEERS,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    rounds: Annotated[int, typer.Option(min=5)] = 20,
    seconds: Annotated[
        float, typer.Option(help="Stop a size's rounds (but five) after so long")
    ] = 20.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write figures here")
    ] = None,
    isa: Annotated[Isa, typer.Option(help=HELP)] = Isa.NATIVE,
) -> None:
    """Print a table per sweep; exit 1 if a step or a drift is flagged."""
    try:
        taking_part = chosen(peers)
    except ValueError as problem:
        raise typer.BadParameter(str(problem)) from problem
    host = held_to(isa, taking_part)
    points: dict[Size, tuple[Point, Run]] = {}
    sweeps = []
    for sweep in SWEEPS:
        if models and sweep[0].model not in models:
            continue
        for size in sweep:
            if size not in points:
                points[size] = measure(size, taking_part, threads, rounds, seconds, host)
        runs = {str(size): points[size][1] for size in sweep}
        turns = take_turns(runs, rounds, seconds, pause_for(threads))
        rows = in_sweep([points[size][0] for size in sweep], list(turns.values()))
        sweeps.append(rows)
        console.print(_table(rows, taking_part, threads))
    for point, _ in points.values():
        for name, reason in point["refused"].items():
            console.print(f"{_name(point)}: {name} {reason}", markup=False)
    where = provenance([OURS, *taking_part], host)
    console.print("\n".join(lines(where)))
    write_json(json_file, {"provenance": where, "threads": threads, "sweeps": sweeps})
    flags = [f"{_name(row)}: {flag}" for rows in sweeps for row in rows for flag in row["flags"]]
    if flags:
        console.print("\n".join(flags))
        raise typer.Exit(1)


def measure(
    size: Size,
    peers: Sequence[Peer],
    threads: int,
    rounds: int,
    seconds: float,
    host: Host = NATIVE,
) -> tuple[Point, Run]:
    """Time ours and `peers` at one size; ours is handed on, still loaded."""
    with open_case(size.model, size.batch, size.resolution) as case:
        figure = compare(case, peers, threads, rounds, seconds, host)
        ours = Ours(host.cpu, threads)
        manifest = load_bundle(bundle_path(ours.prepared(case))).manifest
        run = ours.start(case, threads)
        run()  # loads its library, whose file goes with the case
    best = figure["best"]
    point: Point = {
        "model": size.model,
        "resolution": size.resolution,
        "batch": size.batch,
        "gflop": sum(kernel.flops for kernel in manifest.kernels) / 1e9,
        "ms": figure["ms"],
        "best": best,
        "ratio": figure["ratios"][best] if best else None,
        "refused": figure["refused"],
        "sampled": figure["sampled"],
    }
    return point, run


def in_sweep(points: Sequence[Point], turns: Sequence[list[int]]) -> list[Row]:
    """The points, in order of work, beside the base (224 pixels, batch 1) and their neighbours;
    `turns` are the times of ours at each in turns with the others, see `Row`."""
    sizes = [(point["resolution"], point["batch"]) for point in points]
    origin = sizes.index((DEFAULT_SIDE, 1))
    base = points[origin]

    def cost(i: int, other: int) -> float:
        """Of point i, per work, by the other's: the median over the turns."""
        return ratio(turns[i], turns[other]) * points[other]["gflop"] / points[i]["gflop"]

    rows: list[Row] = []
    for i, point in enumerate(points):
        drift = None
        if point["ratio"] is not None and base["ratio"] is not None:
            drift = point["ratio"] / base["ratio"] - 1
        flags = []
        if point["ratio"] is not None and base["ratio"] is not None:
            level = max(base["ratio"], RATIOS.get(point["model"], 0.0))
            if point["ratio"] > (1 + HOLD) * level:
                flags.append(
                    f"ratio {point['ratio']:.2f} to the best peer does not hold {level:.2f}"
                )
        step = cost(i, i - 1) - 1 if i else 0.0
        if step > MARGIN:
            flags.append(f"time grows {step:.0%} more than the work since the size before")
        rows.append(
            {
                **point,
                "turns": turns[i],
                "relative_cost": cost(i, origin),
                "drift": drift,
                "flags": flags,
            }
        )
    return rows


def _name(point: Point | Row) -> str:
    return f"{point['model']}, {point['resolution']} pixels, batch {point['batch']}"


def _table(rows: Sequence[Row], peers: Sequence[Peer], threads: int) -> object:
    names = [OURS.name, *(peer.name for peer in peers)]
    cells = [
        [
            f"{row['resolution']} x {row['batch']}",
            f"{row['gflop']:.2f}",
            *(f"{row['ms'][name]:.2f}" if name in row["ms"] else "-" for name in names),
            f"{row['relative_cost']:.2f}",
            "-" if row["ratio"] is None else f"{row['ratio']:.2f} ({row['best']})",
            "-" if row["drift"] is None else f"{row['drift']:+.0%}",
            "!" if row["flags"] else "",
        ]
        for row in rows
    ]
    columns = ["pixels x batch", "GFLOP", *names, "ms per GFLOP", "ratio", "drift", ""]
    return table(f"{rows[0]['model']}, {threads} thread(s): median ms", columns, cells)


if __name__ == "__main__":
    typer.run(main)
