"""How long compiling takes, step by step: cold, with kernels kept by an earlier process, warm.

    python benchmarks/compile_time.py efficientformer_l1 efficientformerv2_s0 --check

A fresh process with an empty kernel cache calls ``efcompile.optimize(MODEL, target="host")``
(`cold`) and calls it again (`again`: same graph, weights and options); a second process finds the
kernels that the first one kept (`kernels kept`).  Imports are shown and not part of any total.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, TypedDict, cast

import typer

# Python puts this file's folder on the path, not the one above it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.compile_time_child import Times
from benchmarks.output import console, table, write_json
from benchmarks.peers.registry import OURS
from benchmarks.provenance import lines, provenance

COLD_LIMIT, WARM_LIMIT = 20.0, 3.0
"""Seconds that `--check` allows for `cold` and for `again`."""

STEPS = (
    "capture",
    "reuse",
    "passes",
    "verification",
    "lowering",
    "kernels",
    "link",
    "bundle",
    "check",
    "other",
)
"""In the order they run: `capture` traces the model, `reuse` looks for its result, `passes` rewrite
and `verification` runs what they made, `lowering` chooses kernels and builds their code, `kernels`
compiles it, `link` compiles the driver and links, `bundle` packs weights and writes, `check`
compares the result with eager; `other` includes making the model."""

_CHILD = Path(__file__).with_name("compile_time_child.py")
_MODELS = ("efficientformer_l1", "efficientformerv2_s0")


class Figure(TypedDict):
    """One model: seconds of the imports, and of each kind of call by step, ``total`` first."""

    model: str
    threads: int
    imports: float
    calls: dict[str, dict[str, float]]


def main(
    models: Annotated[list[str] | None, typer.Argument(help="Default: L1 and V2's S0")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of the check; default: all cores")
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help=f"Exit 1 above {COLD_LIMIT:.0f} s cold or {WARM_LIMIT:.0f} s again"
        ),
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write figures here")
    ] = None,
) -> None:
    """Print seconds by step."""
    count = threads or len(os.sched_getaffinity(0))
    figures = []
    for model in models or _MODELS:
        figures.append(compile_time(model, count))
        console.print(_table(figures[-1]))
    where = provenance([OURS])
    console.print("\n".join(lines(where)))
    write_json(json_file, {"provenance": where, "figures": figures})
    slow = [said for figure in figures for said in above_limits(figure)]
    if check and slow:
        console.print("\n".join(slow))
        raise typer.Exit(1)


def compile_time(model: str, threads: int) -> Figure:
    """Measure one model.  Raises `RuntimeError` if a process fails."""
    with tempfile.TemporaryDirectory(prefix="efcompile-kernels-") as cache:
        cold = _run(model, threads, cache)
        kept = _run(model, threads, cache)
    return {
        "model": model,
        "threads": threads,
        "imports": cold["imports"],
        "calls": {"cold": cold["first"], "kernels kept": kept["first"], "again": cold["second"]},
    }


def above_limits(figure: Figure) -> list[str]:
    """What is slower than `--check` allows, in words."""
    limits = {"cold": COLD_LIMIT, "again": WARM_LIMIT}
    seconds = {call: figure["calls"][call]["total"] for call in limits}
    return [
        f"{figure['model']}: {call} takes {seconds[call]:.1f} s, more than {limit:.0f}"
        for call, limit in limits.items()
        if not seconds[call] <= limit
    ]


def _run(model: str, threads: int, cache: str) -> Times:
    command = [sys.executable, str(_CHILD), model, str(threads)]
    environment = os.environ | {"EFCOMPILE_CACHE": cache}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [""]
        raise RuntimeError(f"{model}: exit status {done.returncode}: {said[-1][:300]}")
    return cast(Times, json.loads(done.stdout.splitlines()[-1]))


def _table(figure: Figure) -> object:
    calls = figure["calls"]
    rows = [
        [step, *(f"{seconds[step]:.2f}" if step in seconds else "" for seconds in calls.values())]
        for step in ("total", *STEPS)
    ]
    title = (
        f"{figure['model']}: seconds of optimize, after {figure['imports']:.1f} s of imports, "
        f"{figure['threads']} thread(s)"
    )
    return table(title, ["", *calls], rows)


if __name__ == "__main__":
    typer.run(main)
