"""A model compiled for timing: its bundle and what is known of each of its calls.

Compiling and timing are apart, so that the timing can have a core to itself: `prepare` writes
a folder, `load` needs neither torch nor the compiler to read it.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from benchmarks.shape_lists import describe
from efcompile.bundle import sample
from efcompile.bundle.describe import known_work, operand_bytes
from efcompile.bundle.load import Bundle, load_bundle
from efcompile.bundle.write import write_bundle
from efcompile.kernels.work import Work
from efcompile.lowering.program import Call, Program

_CALLS = "calls.json"


@dataclass(frozen=True)
class TimedCall:
    """One call: its kernel and what it must do and move.

    `flops` is nominal (multiply and add are two, padding counts); `weight_bytes` are the
    constants it reads, `activation_bytes` what it reads and writes besides, each byte once.
    """

    symbol: str
    kernel: str
    op: str
    shape: str
    sources: tuple[str, ...]
    flops: int
    weight_bytes: int
    activation_bytes: int
    work: Work


@dataclass(frozen=True)
class Prepared:
    """A compiled model: `calls` in the network's order, `resident_bytes` of weights and arena."""

    model: str
    bundle: Bundle
    calls: tuple[TimedCall, ...]
    resident_bytes: int


@dataclass(frozen=True)
class Compiled:
    """A model through the compiler: its program, and inputs with what eager PyTorch makes of
    them."""

    program: Program
    inputs: tuple[NDArray[Any], ...]
    outputs: tuple[NDArray[Any], ...]


def compiled(
    model: str, target: str, cpu: str | None = None, threads: int | None = None
) -> Compiled:
    """Compile a model by name, its weights random and never zero, through the default passes,
    with the tuning that ships; `cpu` and `threads` as in `efcompile.targets.resolve`."""
    import torch
    from torch.utils import _pytree as pytree

    from efcompile.capture import capture
    from efcompile.kernels.knob_source import SHIPPED
    from efcompile.lowering.lower import lower
    from efcompile.models.randomize import randomize
    from efcompile.models.zoo import resolve_model, title_of
    from efcompile.passes.manager import run_pipeline
    from efcompile.passes.pipeline import build_pipeline
    from efcompile.targets.resolve import resolve

    module = randomize(resolve_model(model).eval(), seed=0)
    captured = capture(module, None)
    described = resolve(target, cpu=cpu, threads=threads)
    pipeline = build_pipeline(None, (), SHIPPED.splits(described))
    stages = run_pipeline(captured.graph_module, captured.example_inputs, pipeline)
    last = stages[-1].graph_module
    program = lower(last, described, title_of(model), examples=captured.example_inputs)
    with torch.inference_mode():
        outputs = pytree.tree_leaves(module(*captured.example_inputs))
    return Compiled(program, _arrays(captured.example_inputs), _arrays(outputs))


def _arrays(tensors: Sequence[Any]) -> tuple[NDArray[Any], ...]:
    return tuple(tensor.numpy() for tensor in tensors)


def prepare(
    model: str, folder: Path, cpu: str | None = None, threads: int | None = None
) -> Prepared:
    """Compile `model` for this machine, or for less of it (`cpu`, `threads`), into
    ``folder/<title>`` and describe its calls."""
    made = compiled(model, "host", cpu, threads)
    program = made.program
    root = folder / program.name
    path = write_bundle(
        program,
        root,
        parts=["shared"],
        attachments={sample.NAME: sample.dump(made.inputs, made.outputs)},
    )
    calls = tuple(_timed(program, call) for call in program.calls)
    resident = program.weight_bytes + program.arena_bytes
    document = {"model": model, "bundle": path.name, "resident_bytes": resident}
    rows = [asdict(call) for call in calls]
    (root / _CALLS).write_text(json.dumps(document | {"calls": rows}, indent=1))
    return Prepared(model, load_bundle(path), calls, resident)


def load(folder: Path) -> list[Prepared]:
    """All that `prepare` wrote into `folder`; `FileNotFoundError` if there is nothing."""
    found = sorted(folder.glob(f"*/{_CALLS}"))
    if not found:
        raise FileNotFoundError(f"no prepared model in {folder}: run with --build {folder} first")
    return [_load(path) for path in found]


def _load(path: Path) -> Prepared:
    document = json.loads(path.read_text())
    calls = tuple(
        TimedCall(**row | {"work": Work(**row["work"]), "sources": tuple(row["sources"])})
        for row in document["calls"]
    )
    bundle = load_bundle(path.parent / document["bundle"])
    return Prepared(document["model"], bundle, calls, document["resident_bytes"])


def _timed(program: Program, call: Call) -> TimedCall:
    kernel = program.kernels[call.symbol]
    weight_bytes, activation_bytes = operand_bytes(program, call)
    return TimedCall(
        call.symbol,
        kernel.kernel,
        call.op,
        describe(kernel.shape),
        call.sources,
        call.flops,
        weight_bytes,
        activation_bytes,
        known_work(kernel),
    )
