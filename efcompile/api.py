"""`optimize`, `load` and `CompiledModel`: what users call."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from efcompile.bundle import sample
from efcompile.bundle.library import Library
from efcompile.bundle.load import Bundle, load_bundle
from efcompile.bundle.toolchain import object_toolchain
from efcompile.bundle.write import copy_bundle, write_bundle
from efcompile.devices.registry import get_device
from efcompile.errors import InputError, ParityError
from efcompile.targets.resolve import resolve

if TYPE_CHECKING:
    from efcompile.passes.base import Pass
    from efcompile.passes.manager import Stage


@dataclass(frozen=True)
class History:
    """What `optimize` did: every stage with its record, capture's notes, and the relative
    error against the reference on two inputs (None where the target does not run here)."""

    stages: tuple[Stage, ...]
    notes: tuple[str, ...]
    parity: float | None


class CompiledModel:
    """A compiled model: a bundle, runnable here if it is for this machine.

    Calling it takes and returns what the module did: tensors (or numpy arrays, then arrays
    come back), in the module's structure.  Safe to call from several threads.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int,
        *,
        folder: tempfile.TemporaryDirectory[str] | None = None,
    ) -> None:
        self.bundle = bundle
        self.threads = threads
        self.history: History | None = None
        self._library: Library | None = None
        self._loading = Lock()
        # A bundle that was never saved lives as long as this object.
        self._folder = folder

    def __call__(self, *inputs: Any) -> Any:
        """Run on this machine.  Raises `InputError` for inputs that do not fit and
        `BundleError` if the bundle is not for this machine."""
        with self._loading:
            if self._library is None:
                self._library = Library(self.bundle, self.threads)
        return self._run(self._library.run, inputs)

    def run(self, *inputs: Any, device: str = "local", threads: int | None = None) -> Any:
        """Run on `device` (see `efcompile devices`) with `threads` threads."""
        chosen = get_device(device)
        count = self.threads if threads is None else threads
        return self._run(lambda arrays: chosen.run(self.bundle, arrays, threads=count), inputs)

    def save(self, path: str | Path) -> Path:
        """Copy the bundle into the directory `path`, atomically, and return where it is."""
        return copy_bundle(self.bundle.path, Path(path))

    def _run(self, call: Callable[[list[Any]], Sequence[Any]], inputs: tuple[Any, ...]) -> Any:
        arrays = [_array(value, i) for i, value in enumerate(inputs)]
        outputs: list[Any] = list(call(arrays))
        if not any(isinstance(value, np.ndarray) for value in inputs):
            outputs = [torch.from_numpy(array) for array in outputs]
        structure = self.bundle.manifest.structure
        if not structure:
            return outputs
        return pytree.tree_unflatten(outputs, pytree.treespec_loads(structure))


def _array(value: Any, position: int) -> Any:
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    raise InputError(
        f"input {position} is a {type(value).__name__}: pass a torch tensor or a numpy array"
    )


def load(path: str | Path, *, threads: int | None = None) -> CompiledModel:
    """Open a bundle that `optimize` or `save` wrote, after checking every byte of it."""
    return CompiledModel(load_bundle(Path(path)), _threads(threads))


def optimize(
    model: nn.Module | str,
    example_inputs: Tensor | Sequence[Tensor] | None = None,
    *,
    target: str = "host",
    cpu: str | None = None,
    features: tuple[str, ...] | None = None,
    passes: Sequence[Pass | str] | None = None,
    disable: Sequence[str] = (),
    threads: int | None = None,
    name: str | None = None,
    out: str | Path | None = None,
    hook: Callable[[Stage], None] | None = None,
) -> CompiledModel:
    """Compile `model` (a module, or a name such as ``"efficientformer_l1"``) for `target`.

    Without `example_inputs` the size the model states is used, at batch one.  `passes` replaces
    the pipeline, `disable` leaves out passes by name, `hook` sees every stage.  The bundle is
    written into `out`, or kept in a temporary folder until `save`.  Where the target runs here
    the result is compared with eager PyTorch on two inputs; `ParityError` if it differs by more
    than `efcompile.bundle.sample.TOLERANCE`.  See `efcompile.errors` for what else it raises.
    """
    # The compiler imports TVM, which loading and running a bundle does not need.
    from efcompile.capture import name_of
    from efcompile.compiler import compile_model
    from efcompile.models.zoo import resolve_model, title_of
    from efcompile.passes.pipeline import build_pipeline

    count = _threads(threads)
    described = resolve(target, cpu=cpu, features=features)
    object_toolchain(described)  # a missing compiler is better told before the work
    pipeline = build_pipeline(passes, disable)
    module = resolve_model(model) if isinstance(model, str) else model
    title = name or (title_of(model) if isinstance(model, str) else name_of(module))
    compilation = compile_model(module, example_inputs, described, pipeline, title, hook)

    examples = compilation.captured.example_inputs
    wanted = compilation.reference(examples)
    # Built aside first: a wrong result must not take the place of a good bundle.
    folder = tempfile.TemporaryDirectory(prefix="efcompile-")
    path = write_bundle(
        compilation.program,
        Path(folder.name),
        structure=pytree.treespec_dumps(compilation.captured.output_spec),
        attachments={sample.NAME: sample.dump(_arrays(examples), _arrays(wanted))},
    )
    parity = None
    if get_device("local").refuses(described) is None:
        parity = _parity(load_bundle(path), compilation.reference, examples, count)
    if out is not None:
        path = copy_bundle(path, Path(out))
    compiled = CompiledModel(load_bundle(path), count, folder=folder if out is None else None)
    compiled.history = History(compilation.stages, compilation.captured.notes, parity)
    return compiled


def _arrays(tensors: Sequence[Tensor]) -> list[Any]:
    return [tensor.detach().numpy() for tensor in tensors]


def _parity(
    bundle: Bundle,
    reference: Callable[[Sequence[Tensor]], Sequence[Tensor]],
    examples: Sequence[Tensor],
    threads: int,
) -> float:
    """The relative error on the examples and on fresh random inputs of their shapes."""
    generator = torch.Generator().manual_seed(1)
    fresh = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in examples]
    library = Library(bundle, threads)
    worst = 0.0
    for inputs in (examples, fresh):
        got = library.run(_arrays(inputs))
        worst = max(worst, sample.relative_error(got, _arrays(reference(inputs))))
    if not worst <= sample.TOLERANCE:
        raise ParityError(
            f"{bundle.manifest.model} compiled for {bundle.manifest.target.name} "
            f"differs from eager PyTorch by {worst:.2e} of the output's scale (limit "
            f"{sample.TOLERANCE:.0e}); nothing was wrong after any pass, so a kernel is: please "
            "report it"
        )
    return worst


def _threads(threads: int | None) -> int:
    if threads is None:
        return len(os.sched_getaffinity(0))
    if threads < 1:
        raise InputError(f"threads must be at least 1, not {threads}")
    return threads
