"""Our spaces and search against MetaSchedule's stock space and search, trial for trial.

    python benchmarks/tuning.py efficientformer_l1
    python benchmarks/tuning.py efficientformerv2_s0 --kernels ffn,conv_direct --trials 40

For each of three kernels of a model, both search with the same number of trials, the same builder
(a forked child per candidate), the same device and data (this machine, one thread, weights as
cold as in the model), each from nothing.  Stock is MetaSchedule's default space for CPUs over the
kernel's plain algorithm, its evolutionary search and its cost model; see `stock_tuning.py` for
where it is helped.  At the end the best of both and our analytic default take turns in one run:
medians in ms, and the share of the FMA peak measured in the same run (nominal flops).

A fused kernel is one workload for stock as well: whether a space can make good code of a fused
op is the point.  Its rules inline an activation into the product that follows, where it is
computed once per output column, so its MLP and FFN are slow; products, convolutions and
attention say more of tiles alone.

The default kernels are the heaviest shapes (by flops in the model) of three kinds; `--kernels`
takes the beginnings of names such as ``mlp`` or ``gemm 1x49``, the heaviest that fits each.
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer

# Python puts this file's folder on the path, not the one above it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.output import console, table, write_json
from benchmarks.peers.peer import version
from benchmarks.provenance import lines, provenance
from benchmarks.stock_tuning import CostModel
from benchmarks.tuning_contest import Contest, contest
from efcompile.bundle.trial import TrialSettings
from efcompile.capture import capture
from efcompile.devices.local import Local
from efcompile.devices.measurement import summarise
from efcompile.kernels.kernel import OpCall, Operand
from efcompile.models.randomize import randomize
from efcompile.models.zoo import resolve_model
from efcompile.ops import OPS
from efcompile.passes.manager import run_pipeline
from efcompile.passes.pipeline import build_pipeline
from efcompile.report.machine import measure
from efcompile.targets.resolve import resolve
from efcompile.tuning.task import Task
from efcompile.tuning.workload import tasks_of

KINDS = 3
_PACKAGES = ("apache-tvm", "xgboost-cpu")


@dataclass(frozen=True)
class Subject:
    """A model's tasks for this machine, and the bytes of all of its weights."""

    tasks: tuple[Task, ...]
    weight_bytes: int


def main(
    model: Annotated[str, typer.Argument(help="Model")] = "efficientformer_l1",
    kernels: Annotated[
        str, typer.Option(help="Comma-separated beginnings of names; default: three kinds")
    ] = "",
    trials: Annotated[int, typer.Option(min=1, help="Of each search for each kernel")] = 64,
    cost_model: Annotated[
        CostModel, typer.Option(help="Of the stock search; xgb needs the package xgboost")
    ] = "xgb",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write figures here")
    ] = None,
) -> None:
    """Print a line per kernel."""
    if cost_model == "xgb" and find_spec("xgboost") is None:
        raise typer.BadParameter("pip install xgboost-cpu, or take --cost-model random")
    subject = prepare(model)
    try:
        tasks = chosen(subject.tasks, [name.strip() for name in kernels.split(",") if name])
    except ValueError as problem:
        raise typer.BadParameter(str(problem)) from problem
    settings = TrialSettings(rotate_bytes=subject.weight_bytes)
    contests = []
    with tempfile.TemporaryDirectory(prefix="efcompile-bench-") as folder:
        for number, task in enumerate(tasks):
            place = Path(folder) / str(number)
            contests.append(contest(task, Local(), settings, trials, place, cost_model))
            report(contests[-1])
    fma = measure(1).fma
    title = f"{model}, 1 thread, {trials} trials each, stock with cost model {cost_model}"
    console.print(comparison(title, contests, fma))
    console.print(f"FMA peak of one core in this run: {fma:.0f} GFLOP/s")
    where = provenance(())
    where["versions"] |= {name: version(name) or "not installed" for name in _PACKAGES}
    console.print("\n".join(lines(where)))
    document = {
        "format": 1,
        "kind": "measured",
        "provenance": where,
        "model": model,
        "trials": trials,
        "cost_model": cost_model,
        "fma_gflops": fma,
        "kernels": [entry(one) for one in contests],
    }
    write_json(json_file, document)


def prepare(model: str) -> Subject:
    """The tasks of `model` with random weights, after the default passes."""
    module = randomize(resolve_model(model).eval(), seed=0)
    captured = capture(module, None)
    stages = run_pipeline(captured.graph_module, captured.example_inputs, build_pipeline(None, ()))
    tasks = tasks_of(stages[-1].graph_module, resolve("host"))
    return Subject(tasks, sum(weight.nbytes for weight in module.parameters()))


def chosen(tasks: Sequence[Task], names: Sequence[str]) -> list[Task]:
    """For each name the heaviest task whose own begins with it; without names, the heaviest task
    of each of the heaviest kinds.  `ValueError` for a name that fits none."""
    heaviest = sorted(tasks, key=lambda task: -task.times * flops(task.call))
    if not names:
        kinds: dict[str, Task] = {}
        for task in heaviest:
            kinds.setdefault(task.kernel.name, task)
        return list(kinds.values())[:KINDS]
    found = []
    for name in names:
        fitting = [task for task in heaviest if task.name.startswith(name)]
        if not fitting:
            raise ValueError(f"no kernel {name!r}: there are {', '.join(t.name for t in heaviest)}")
        found.append(fitting[0])
    return found


def flops(call: OpCall) -> int:
    """Nominal operations of a call; multiply and add are two."""

    def meta(value: Any) -> Any:
        if isinstance(value, Operand):
            return torch.empty(value.shape, device="meta")
        return [meta(item) for item in value] if isinstance(value, list) else value

    args = {name: meta(value) for name, value in call.args.items()}
    return OPS[call.op].flops(args, call.out.shape)


def report(one: Contest) -> None:
    """Print the outcome of a kernel, and what ended the stock search before its time."""
    console.print(f"{one.task.name}: {ratio(one)} of stock's best", markup=False)
    for fault in one.stock.faults:
        console.print(f"  the stock search ended with: {fault}", markup=False)


def ratio(one: Contest) -> str:
    """Our best time by stock's, the median of the rounds' ratios, for people."""
    value = _ratio(one)
    return "-" if value is None else f"{value:.2f}"


def _ratio(one: Contest) -> float | None:
    if "stock" not in one.ns:
        return None
    return median(a / b for a, b in zip(one.ns["tuned"], one.ns["stock"], strict=True))


def comparison(title: str, contests: Sequence[Contest], fma: float) -> object:
    """The table: times with shares of the peak, and what the searches took."""
    columns = (
        "kernel", "stock ms", "peak", "default ms", "peak", "tuned ms", "peak", "tuned / stock",
        "stock failed", "stock s", "ours s",
    )  # fmt: skip
    rows = []
    for one in contests:
        cells = [one.task.name]
        for name in ("stock", "default", "tuned"):
            if name in one.ns:
                ns = median(one.ns[name])
                cells += [f"{ns / 1e6:.3f}", f"{flops(one.task.call) / ns / fma:.0%}"]
            else:
                cells += ["-", "-"]
        cells += [ratio(one), f"{len(one.stock.failures)} of {one.stock.trials}"]
        rows.append([*cells, f"{one.stock.seconds:.0f}", f"{one.ours.seconds:.0f}"])
    return table(title, columns, rows)


def entry(one: Contest) -> dict[str, Any]:
    """The figures of a kernel: nanoseconds by contestant as median and quartiles."""
    summaries = {name: summarise(values) for name, values in one.ns.items()}
    return {
        "kernel": one.task.kernel.name,
        "shape": repr(one.task.shape),
        "calls": one.task.times,
        "flops": flops(one.task.call),
        "ns": {name: middle for name, (middle, _) in summaries.items()},
        "quartiles": {name: quartiles for name, (_, quartiles) in summaries.items()},
        "rounds": len(one.ns["default"]),
        "ratio": _ratio(one),
        "stock": {
            "trials": one.stock.trials,
            "failures": list(one.stock.failures),
            "seconds": one.stock.seconds,
            "faults": list(one.stock.faults),
        },
        "ours": {"trials": one.ours.trials, "seconds": one.ours.seconds},
        "knobs": [winner.knobs for winner in one.ours.winners.winners],
    }


if __name__ == "__main__":
    typer.run(main)
