"""What `optimize` found out, as tables and as JSON."""

from collections import Counter
from dataclasses import asdict, dataclass
from statistics import median

import torch
from rich.table import Table

from efcompile.api import CompiledModel
from efcompile.bundle.manifest import Manifest, SizesEntry
from efcompile.cli.console import ms, out, print_json, size
from efcompile.cli.pass_table import as_json, pass_table
from efcompile.cli.source import Source
from efcompile.devices.interleave import interleave
from efcompile.devices.measurement import summarise
from efcompile.devices.registry import DEVICES

ROUNDS = 15
"""Rounds in which ours and eager PyTorch take turns: a first impression; `bench` is for more."""


@dataclass(frozen=True)
class Times:
    """Nanoseconds of one inference on `threads` threads: medians, quartiles, and the median of
    the rounds' ratios of ours to eager's."""

    ours: float
    ours_quartiles: tuple[float, float]
    eager: float
    eager_quartiles: tuple[float, float]
    ratio: float
    threads: int
    rounds: int


def beside_eager(compiled: CompiledModel, source: Source) -> Times:
    """Time the compiled model and the module in turns, on as many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(compiled.threads)
    try:
        with torch.inference_mode():
            samples = interleave(
                {
                    "ours": lambda: compiled(*source.inputs),
                    "eager": lambda: source.module(*source.inputs),
                },
                ROUNDS,
            )
    finally:
        torch.set_num_threads(before)
    ours, eager = summarise(samples["ours"]), summarise(samples["eager"])
    ratios = [mine / theirs for mine, theirs in zip(*samples.values(), strict=True)]
    return Times(*ours, *eager, median(ratios), compiled.threads, ROUNDS)


def print_results(compiled: CompiledModel, times: Times | None) -> None:
    """Everything for people, on stdout; the bundle's path is the last line."""
    history, manifest = compiled.history, compiled.bundle.manifest
    assert history is not None
    target = manifest.target
    features = ", ".join(target.features)
    out.print(f"target {target.name}: {target.triple}, {target.cpu}, {features}", markup=False)
    for note in history.notes:
        out.print(f"note: {note}", markup=False)
    out.print(pass_table(history.stages))
    if history.parity is None:
        out.print(_unchecked(compiled), markup=False)
    else:
        out.print(f"parity with eager PyTorch: {history.parity:.1e} of the output's scale")
    if times is not None:
        out.print(_times(times))
    out.print(_sizes(manifest.sizes, len(manifest.kernels)))
    if (origins := _origins(manifest)).keys() != {"analytic"}:
        counted = ", ".join(f"{count} {origin}" for origin, count in origins.items())
        out.print(f"knobs of the kernels: {counted}")
    for leftover in manifest.leftovers:
        out.print(f"leftover: {leftover}", markup=False)
    # Not through rich, which would colour and might fold it.
    print(compiled.bundle.path)


def results_json(compiled: CompiledModel, source: Source, times: Times | None) -> None:
    """The same as one document."""
    history, manifest = compiled.history, compiled.bundle.manifest
    assert history is not None
    print_json(
        {
            "bundle": str(compiled.bundle.path),
            "model": manifest.model,
            "weights": source.weights,
            "target": asdict(manifest.target),
            "notes": list(history.notes),
            "passes": [as_json(stage) for stage in history.stages],
            "relative_error": history.parity,
            "times_ns": None if times is None else asdict(times),
            "sizes": manifest.sizes.model_dump(),
            "kernels": len(manifest.kernels),
            "knobs": _origins(manifest),
            "leftovers": list(manifest.leftovers),
        }
    )


def _origins(manifest: Manifest) -> dict[str, int]:
    """How many kernels have their knobs from where."""
    return dict(Counter(kernel.knobs for kernel in manifest.kernels))


def _unchecked(compiled: CompiledModel) -> str:
    target = compiled.bundle.manifest.target
    devices = [device.name for device in DEVICES if device.refuses(target) is None]
    checks = [f"efcompile bench {compiled.bundle.path} --device {name}" for name in devices]
    what = f"parity: not checked, as {target.triple} code does not run on this machine"
    return f"{what}; `{checks[0]}` checks it" if checks else what


def _times(times: Times) -> Table:
    title = f"Latency, {times.threads} thread(s), {times.rounds} rounds in turns"
    table = Table("", "median", "quartiles", title=title)
    for name, value, quartiles in (
        ("efcompile", times.ours, times.ours_quartiles),
        ("eager PyTorch", times.eager, times.eager_quartiles),
    ):
        table.add_row(name, ms(value), " .. ".join(ms(q) for q in quartiles))
    table.add_row("ratio, median of the rounds", f"{times.ratio:.2g}", "")
    return table


def _sizes(sizes: SizesEntry, kernels: int) -> Table:
    table = Table("library", "kernels", "weights", "arena", "scratch a thread", title="Sizes")
    bytes_ = (sizes.weights, sizes.arena, sizes.scratch)
    table.add_row(size(sizes.library), str(kernels), *(size(count) for count in bytes_))
    return table
