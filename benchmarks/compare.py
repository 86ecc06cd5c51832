"""Whole models on this machine: ours beside its peers, interleaved in one run.

    python benchmarks/compare.py --peers ort --threads 1

Every round runs each contestant once, so drift of a shared machine hits all alike; the
figure is the median over rounds, the ratio the median of the rounds' ratios.
"""

import json
import statistics
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, TypedDict

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

# Python puts this file's folder on the path, not the one above it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.models import FIRST_LIST
from benchmarks.peaks import fma_peak
from benchmarks.peers import PEERS, Run, ours
from efcompile.bundle.sample import TOLERANCE, relative_error
from efcompile.devices.interleave import interleave
from efcompile.models.input_size import default_input_size
from efcompile.models.randomize import randomize
from efcompile.models.zoo import resolve_model

_PACKAGES = ("onnxruntime",)


def main(
    models: Annotated[
        list[str] | None, typer.Argument(help="Models; default: the first list")
    ] = None,
    peers: Annotated[str, typer.Option(help="Comma-separated: " + ", ".join(PEERS))] = "ort",
    threads: Annotated[int, typer.Option(min=1)] = 1,
    rounds: Annotated[int, typer.Option(min=3, help="Rounds after one warm-up")] = 30,
    limit: Annotated[
        float | None, typer.Option(help="Exit 1 if any ratio of ours to the best peer is above")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write figures here")
    ] = None,
) -> None:
    """Print ours, each peer, and the ratio of ours to the best of them."""
    chosen = [name for name in peers.split(",") if name]
    unknown = [name for name in chosen if name not in PEERS]
    if unknown or not chosen:
        raise typer.BadParameter(f"unknown peers {unknown}; choose from {', '.join(PEERS)}")
    console = Console()
    table = Table(title=f"median ms of {rounds} interleaved rounds, {threads} thread(s), batch 1")
    table.add_column("model")
    for name in ("ours", *chosen):
        table.add_column(name, justify="right")
    table.add_column("ours / best", justify="right")
    figures = []
    for model in models or FIRST_LIST:
        figure = compare(model, chosen, threads, rounds)
        figures.append(figure)
        cells = [f"{figure['ms'][name]:.2f}" for name in ("ours", *chosen)]
        table.add_row(model, *cells, f"{figure['ratio']:.2f}")
        console.print(f"{model}: {figure['ratio']:.2f}", highlight=False)
    console.print(table)
    console.print(f"FMA peak of one core in this run: {fma_peak():.0f} GFLOP/s")
    versions = {name: metadata.version(name) for name in ("torch", "apache-tvm", *_PACKAGES)}
    console.print(", ".join(f"{name} {version}" for name, version in versions.items()))
    if json_file is not None:
        json_file.write_text(json.dumps({"versions": versions, "figures": figures}, indent=1))
    slow = [figure["model"] for figure in figures if limit is not None and figure["ratio"] > limit]
    if slow:
        console.print(f"above {limit}: {', '.join(slow)}")
        raise typer.Exit(1)


class Figure(TypedDict):
    """Medians in ms by contestant, and the median ratio of ours to the best peer."""

    model: str
    threads: int
    ms: dict[str, float]
    ratio: float


def compare(source: str, peers: list[str], threads: int, rounds: int) -> Figure:
    """Time one model."""
    model = randomize(resolve_model(source).eval(), seed=0)
    x = torch.randn(1, 3, *_resolution(model), generator=torch.Generator().manual_seed(0))
    contestants: dict[str, Run] = {"ours": ours(model, x, threads)}
    contestants |= {name: PEERS[name](model, x, threads) for name in peers}
    for name in peers:
        check_agreement(contestants["ours"](), contestants[name](), f"{source}: {name}")
    samples = interleave(contestants, rounds)
    best = [min(samples[name][i] for name in peers) for i in range(rounds)]
    ratio = statistics.median(o / b for o, b in zip(samples["ours"], best, strict=True))
    return {
        "model": source,
        "threads": threads,
        "ms": {name: statistics.median(values) / 1e6 for name, values in samples.items()},
        "ratio": ratio,
    }


def check_agreement(mine: object, theirs: object, what: str) -> None:
    """A comparison of speed means nothing unless both compute the same."""
    error = relative_error([np.asarray(mine)], [np.asarray(theirs)])
    if not error <= TOLERANCE:
        raise SystemExit(f"{what} and ours differ by {error:.1e} of the output's scale")


def _resolution(model: torch.nn.Module) -> tuple[int, int]:
    size = default_input_size(model)
    return (size[1], size[2]) if size else (224, 224)


if __name__ == "__main__":
    typer.run(main)
