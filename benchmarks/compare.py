"""Whole models on this machine: ours beside its peers, in turns in one run.

    python benchmarks/compare.py --threads 1 --threads 2
    python benchmarks/compare.py --isa avx2        # as on a host with AVX2 only, checked

Every contestant computes what eager does (checked, all outputs), in fp32, with the best
settings for the given threads (see `benchmarks/peers`); `benchmarks/turns.py` says how they are
timed.  A figure is the median over the rounds, a ratio the median of the rounds' ratios, and
the best peer the one with the least median.  Times of different runs are not comparable.
With `--isa avx2` nobody uses AVX-512, where the machine has it (`benchmarks/avx2_host.py`).
"""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypedDict

import typer

# Python puts this file's folder on the path, not the one above it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.avx2_host import HELP, NATIVE, Host, Isa, held_to
from benchmarks.case import Case, open_case
from benchmarks.lineup import line_up, without_avx512
from benchmarks.models import FIRST_LIST
from benchmarks.output import console, table, write_json
from benchmarks.peers.ours import Ours
from benchmarks.peers.peer import Peer
from benchmarks.peers.registry import OURS, PEERS, chosen
from benchmarks.provenance import lines, provenance
from benchmarks.turns import pause_for, ratio, take_turns
from efcompile.devices.measurement import summarise
from efcompile.report.peaks import copy_peak, fma_peak


class Figure(TypedDict):
    """One model on so many threads: medians and quartiles in ms by contestant, the ratio of ours
    to each peer, the best of them, and the reasons of those left out.  `sampled` are, where
    AVX-512 is held back, the instructions looked at, by contestant; none was of AVX-512."""

    model: str
    threads: int
    batch: int
    input: list[int]
    rounds: int
    ms: dict[str, float]
    quartiles: dict[str, tuple[float, float]]
    ratios: dict[str, float]
    best: str | None
    refused: dict[str, str]
    sampled: dict[str, int]


def main(
    models: Annotated[
        list[str] | None, typer.Argument(help="Models; default: the first list")
    ] = None,
    peers: Annotated[
        str | None,
        typer.Option(help="Comma-separated; default: the installed ones of " + ", ".join(PEERS)),
    ] = None,
    threads: Annotated[
        list[int] | None, typer.Option(min=1, help="May be repeated; default: 1")
    ] = None,
    rounds: Annotated[int, typer.Option(min=5, help="Rounds after two for warming up")] = 30,
    seconds: Annotated[
        float, typer.Option(help="Stop a model's rounds (but five) after so long")
    ] = 20.0,
    limit: Annotated[
        float | None, typer.Option(help="Exit 1 if any ratio of ours to the best peer is above")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write figures here")
    ] = None,
    isa: Annotated[Isa, typer.Option(help=HELP)] = Isa.NATIVE,
) -> None:
    """Print ours, each peer, and the ratio of ours to the best of them."""
    try:
        taking_part = chosen(peers)
    except ValueError as problem:
        raise typer.BadParameter(str(problem)) from problem
    host = held_to(isa, taking_part)
    counts = threads or [1]
    figures = []
    for source in models or FIRST_LIST:
        with open_case(source) as case:
            for count in counts:
                figure = compare(case, taking_part, count, rounds, seconds, host)
                figures.append(figure)
                console.print(_line(figure))
    for count in counts:
        console.print(_table([f for f in figures if f["threads"] == count], count, taking_part))
    for figure in figures:
        for name, reason in figure["refused"].items():
            console.print(f"{figure['model']}: {name} {reason}", markup=False)
        if figure["sampled"]:
            console.print(f"{figure['model']}: {_seen(figure)}", markup=False)
    peaks = {"fma_gflops": fma_peak(host.target), "copy_gbs": copy_peak()}
    console.print(
        f"one core in this run: {peaks['fma_gflops']:.0f} GFLOP/s multiply-add, "
        f"{peaks['copy_gbs']:.0f} GB/s copying in memory (read plus written)"
    )
    where = provenance([OURS, *taking_part], host)
    console.print("\n".join(lines(where)))
    write_json(json_file, {"provenance": where, "peaks": peaks, "figures": figures})
    slow = [f["model"] for f in figures if limit is not None and _best_ratio(f) > limit]
    if slow:
        console.print(f"above {limit}: {', '.join(slow)}")
        raise typer.Exit(1)


def compare(
    case: Case,
    peers: Sequence[Peer],
    threads: int,
    rounds: int,
    seconds: float,
    host: Host = NATIVE,
) -> Figure:
    """Time one model, on what `host` lets contestants use."""
    lineup = line_up(case, Ours(host.cpu, threads), peers, threads)
    lineup, sampled = without_avx512(lineup, host)
    samples = take_turns(lineup.runs, rounds, seconds, pause_for(threads))
    medians = {name: statistics.median(times) / 1e6 for name, times in samples.items()}
    others = [name for name in samples if name != OURS.name]
    return {
        "model": case.source,
        "threads": threads,
        "batch": len(case.x),
        "input": list(case.x.shape),
        "rounds": len(samples[OURS.name]),
        "ms": medians,
        "quartiles": {name: _quartiles(times) for name, times in samples.items()},
        "ratios": {name: ratio(samples[OURS.name], samples[name]) for name in others},
        "best": min(others, key=medians.__getitem__, default=None),
        "refused": lineup.refused,
        "sampled": sampled,
    }


def _quartiles(times: Sequence[int]) -> tuple[float, float]:
    lower, upper = summarise(times)[1]
    return lower / 1e6, upper / 1e6


def _best_ratio(figure: Figure) -> float:
    return figure["ratios"][figure["best"]] if figure["best"] else 0.0


def _line(figure: Figure) -> str:
    mine = f"{figure['model']}, {figure['threads']} thread(s): {figure['ms']['ours']:.2f} ms"
    if figure["best"] is None:
        return f"{mine}, no peer to compare with"
    return f"{mine}, {_best_ratio(figure):.2f} of {figure['best']}"


def _seen(figure: Figure) -> str:
    counts = ", ".join(f"{name} {count}" for name, count in figure["sampled"].items())
    return f"{figure['threads']} thread(s), AVX-512 in none of the instructions sampled: {counts}"


def _table(figures: Sequence[Figure], threads: int, peers: Sequence[Peer]) -> object:
    names = [peer.name for peer in peers]
    rows = []
    for figure in figures:
        cells = [
            f"{figure['ms'][name]:.2f} ({figure['ratios'][name]:.2f})"
            if name in figure["ms"]
            else "-"
            for name in names
        ]
        best = f"{_best_ratio(figure):.2f} ({figure['best']})" if figure["best"] else "-"
        rows.append([figure["model"], f"{figure['ms']['ours']:.2f}", *cells, best])
    title = f"{threads} thread(s), batch 1, fp32: median ms (ours / theirs)"
    return table(title, ["model", "ours", *names, "ours / best"], rows)


if __name__ == "__main__":
    typer.run(main)
