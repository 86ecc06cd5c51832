"""From a captured model to a bundle that was checked: compile, write, run beside eager."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import treespec_dumps

from efcompile.bundle import sample
from efcompile.bundle.library import Library
from efcompile.bundle.load import Bundle, load_bundle
from efcompile.bundle.write import write_bundle
from efcompile.capture import Captured
from efcompile.compiler import compile_model
from efcompile.devices.registry import get_device
from efcompile.errors import BundleError, ParityError
from efcompile.kernels.knob_source import KnobSource
from efcompile.kernels.tuned import Winners
from efcompile.kernels.tuning_records import ATTACHMENT, Attachment
from efcompile.lowering.magnitudes import rms
from efcompile.lowering.program import Program
from efcompile.models.zoo import resolve_model
from efcompile.passes.base import Pass
from efcompile.passes.manager import Stage
from efcompile.passes.split_fused import SplitFused, signatures
from efcompile.reuse import Result
from efcompile.steps import step
from efcompile.targets.target import Target


@dataclass(frozen=True)
class History:
    """What `optimize` did: the captured model, the passes and the stage after each with its
    record, where the kernels' knobs are from, notes of capture and on tuning records, the relative
    error against the reference on two inputs (None where the target does not run here), and how
    long each step took.  `reused` says that the result is of an earlier call."""

    captured: Captured
    pipeline: tuple[Pass, ...]
    stages: tuple[Stage, ...]
    knobs: KnobSource
    notes: tuple[str, ...]
    parity: float | None
    seconds: dict[str, float]
    reused: bool


def named_model(name: str) -> nn.Module:
    """The model that `name` says, with the same random weights every time."""
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(0)
        return resolve_model(name)


def intact(result: Result | None) -> Result | None:
    """`result`, unless its temporary files were changed or cleaned away."""
    try:
        if result is not None:
            load_bundle(result.path)
    except BundleError:
        return None
    return result


def build_checked(
    module: nn.Module,
    captured: Captured,
    target: Target,
    pipeline: Sequence[Pass],
    title: str,
    hook: Callable[[Stage], None] | None,
    threads: int,
    knobs: KnobSource,
) -> Result:
    """Compile and check.  The bundle is in a folder of its own: a wrong result must not take the
    place of a good bundle.

    Raises `ParityError` if the target runs here and the bundle computes something else than the
    module, and what passes, lowering and bundling raise.
    """
    compilation = compile_model(module, captured, target, pipeline, title, hook, knobs)
    examples = captured.example_inputs
    with step("check"):
        wanted = _arrays(compilation.reference(examples))
    attachments = {sample.NAME: sample.dump(_arrays(examples), wanted)}
    used = winners_used(compilation.program, compilation.stages, captured, pipeline, knobs)
    if used:
        attachments[ATTACHMENT] = Attachment(used=used).dump()
    folder = tempfile.TemporaryDirectory(prefix="efcompile-")
    with step("bundle"):
        path = write_bundle(
            compilation.program,
            Path(folder.name),
            structure=treespec_dumps(captured.output_spec),
            attachments=attachments,
        )
    parity = None
    if get_device("local").refuses(target) is None:
        with step("check"):
            parity = _parity(load_bundle(path), compilation.reference, examples, wanted, threads)
    return Result(folder, path, compilation.stages, parity)


def winners_used(
    program: Program,
    stages: Sequence[Stage],
    captured: Captured,
    pipeline: Sequence[Pass],
    knobs: KnobSource,
) -> tuple[Winners, ...]:
    """What the program has of tuning: winners whose knobs its kernels have, and the measurements
    for which fused ops were split."""
    chosen = [(kernel.origin, kernel.winner) for kernel in program.kernels.values()]
    split: set[str] = set()
    graph = captured.graph_module
    for pass_, stage in zip(pipeline, stages, strict=True):
        if isinstance(pass_, SplitFused):
            split |= signatures(graph) & set(pass_.splits)
        graph = stage.graph_module
    return knobs.used(program.target, chosen, split)


def _arrays(tensors: Sequence[Tensor]) -> list[Any]:
    return [tensor.detach().numpy() for tensor in tensors]


def _parity(
    bundle: Bundle,
    reference: Callable[[Sequence[Tensor]], Sequence[Tensor]],
    examples: Sequence[Tensor],
    wanted: Sequence[Any],
    threads: int,
) -> float:
    """The relative error on the examples, of which `wanted` was computed, and on fresh random
    inputs as large."""
    generator = torch.Generator().manual_seed(1)
    fresh = [torch.randn(x.shape, generator=generator, dtype=x.dtype) * rms(x) for x in examples]
    library = Library(bundle, threads)
    worst = sample.relative_error(library.run(_arrays(examples)), wanted)
    got = library.run(_arrays(fresh))
    worst = max(worst, sample.relative_error(got, _arrays(reference(fresh))))
    if not worst <= sample.TOLERANCE:
        raise ParityError(
            f"{bundle.manifest.model} compiled for {bundle.manifest.target.name} "
            f"differs from eager PyTorch by {worst:.2e} of the output's scale (limit "
            f"{sample.TOLERANCE:.0e}); nothing was wrong after any pass, so a kernel is: please "
            "report it"
        )
    return worst
