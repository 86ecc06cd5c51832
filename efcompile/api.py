"""`optimize`, `load` and `CompiledModel`: what users call."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from efcompile.bundle.library import Library
from efcompile.bundle.load import Bundle, load_bundle
from efcompile.bundle.toolchain import object_toolchain
from efcompile.bundle.write import copy_bundle
from efcompile.devices.registry import get_device
from efcompile.errors import BundleError, InputError
from efcompile.steps import step, timed
from efcompile.targets.resolve import resolve

if TYPE_CHECKING:
    from torch import Tensor, nn

    from efcompile.building import History
    from efcompile.devices.device import Device
    from efcompile.passes.base import Pass
    from efcompile.passes.manager import Stage
    from efcompile.report.document import Report
    from efcompile.tuned_model import Improvement
    from efcompile.tuning.progress import Progress


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
        self.improvement: Improvement | None = None
        self._library: Library | None = None
        self._loading = Lock()
        # A bundle that was never saved lives as long as this object.
        self._folder = folder

    def __call__(self, *inputs: Any) -> Any:
        """Run on this machine.  Raises `InputError` for inputs that do not fit and
        `BundleError` if the bundle is not for this machine."""
        library = self._library
        if library is None:
            with self._loading:
                if self._library is None:
                    self._library = Library(self.bundle, self.threads)
                library = self._library
        return self._run(library.run, inputs)

    def run(self, *inputs: Any, device: str = "local", threads: int | None = None) -> Any:
        """Run on `device` (see `efcompile devices`) with `threads` threads."""
        chosen = get_device(device)
        count = self.threads if threads is None else threads
        return self._run(lambda arrays: chosen.run(self.bundle, arrays, threads=count), inputs)

    def save(self, path: str | Path) -> Path:
        """Copy the bundle into the directory `path`, atomically, and return where it is."""
        return copy_bundle(self.bundle.path, Path(path))

    def report(
        self,
        *,
        device: str = "local",
        threads: int | None = None,
        budget: float | None = None,
        leave_one_out: bool = False,
        profiles: bool = True,
    ) -> Report:
        """Measure on `device` what each pass brought: every distinct stage in turns, in times on
        ``local`` and in instructions on ``qemu``.

        `threads` are this model's, or one under emulation.  `budget` bounds the measuring in
        seconds, `leave_one_out` adds the pipeline without each pass, and `profiles` those of
        the first and last stage; see `efcompile.report.ledger.measure_ledger`, also for what is
        raised.  Raises `BundleError`
        for a loaded bundle: what the passes did is not in it.
        """
        from efcompile.report.ledger import measure_ledger
        from efcompile.report.subject import Subject

        manifest, history = self.bundle.manifest, self.history
        if history is None:
            raise BundleError(
                f"{self.bundle.path} was loaded, and a bundle does not hold the stages that a "
                "report measures: call report() on what `efcompile.optimize` returned, or run "
                "`efcompile report MODEL`"
            )
        chosen = get_device(device)
        if threads is None:
            threads = 1 if device == "qemu" else self.threads
        subject = Subject(
            manifest.model, history.captured, history.pipeline, history.stages, history.knobs
        )
        call = f"compiled.report(device={device!r}, threads={threads})"
        return measure_ledger(
            subject,
            manifest.target,
            chosen,
            _threads(threads),
            budget=budget,
            leave_one_out=leave_one_out,
            profiles=profiles,
            command=call,
        )

    def tune(
        self,
        *,
        device: str | Device = "local",
        trials: int = 400,
        tasks: int = 10,
        work_dir: str | Path = "tuning",
        threads: int = 1,
        watch: Callable[[Progress], None] = lambda progress: None,
        stop: Event | None = None,
    ) -> CompiledModel:
        """Search better knobs for the `tasks` heaviest kernels on `device` (a name, or a device
        with its own settings), in `trials` trials, and return the model with what won.

        Nothing is accepted that does not win side by side with what it replaces, kernel by
        kernel and as a whole; `.improvement` of the result has the figures.  Records are in
        `work_dir`: the same folder again goes on from there, and ``optimize(...,
        tuning_records=work_dir)`` uses its winners.  `watch` hears how far it is (see
        `efcompile.tuning.progress`), and setting `stop` ends it early, with what was found.

        Raises `TuningError` when there is nothing to tune, `DeviceError` when the device cannot
        run the kernels or is gone (finished trials are kept), `ParityError` if the tuned model
        were wrong, and `BundleError` for a loaded bundle: its graph is not in it.
        """
        from efcompile.tuned_model import tune_model

        if self.history is None:
            raise BundleError(
                f"{self.bundle.path} was loaded, and a bundle does not hold the graph that tuning "
                "needs: call tune() on what `efcompile.optimize` returned, or run `efcompile tune`"
            )
        chosen = get_device(device) if isinstance(device, str) else device
        tuned, improvement = tune_model(
            self.bundle,
            self.history,
            chosen,
            trials=trials,
            work_dir=Path(work_dir),
            tasks=tasks,
            threads=_threads(threads),
            watch=watch,
            stop=stop,
        )
        if tuned is None:
            better = CompiledModel(self.bundle, self.threads, folder=self._folder)
            better.history = self.history
        else:
            bundle = load_bundle(tuned.result.path)
            better = CompiledModel(bundle, self.threads, folder=tuned.result.folder)
            better.history = tuned.history
        better.improvement = improvement
        return better

    def _run(self, call: Callable[[list[Any]], Sequence[Any]], inputs: tuple[Any, ...]) -> Any:
        arrays, any_arrays = [], False
        for value in inputs:
            if isinstance(value, np.ndarray):
                any_arrays = True
                arrays.append(value)
            else:
                arrays.append(_array(value, len(arrays)))
        outputs = call(arrays)
        if not any_arrays:
            import torch

            outputs = [torch.from_numpy(array) for array in outputs]
        structure = self.bundle.manifest.structure
        if not structure:
            return list(outputs)
        if structure == _ONE_TENSOR:
            return outputs[0]
        from torch.utils import _pytree as pytree

        return pytree.tree_unflatten(outputs, pytree.treespec_loads(structure))


_ONE_TENSOR = '[1, {"type": null, "context": null, "children_spec": []}]'
"""A module that returns a tensor: its structure as torch writes it."""


def _array(value: Any, position: int) -> Any:
    # Arrays in, arrays out needs no torch, whose import takes seconds and 200 MB.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
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
    compact: bool = False,
    passes: Sequence[Pass | str] | None = None,
    disable: Sequence[str] = (),
    threads: int | None = None,
    name: str | None = None,
    out: str | Path | None = None,
    hook: Callable[[Stage], None] | None = None,
    reuse: bool = True,
    tuning_records: str | Path | None = None,
    emulated_records: bool = False,
    tuned: bool = True,
) -> CompiledModel:
    """Compile `model` (a module, or a name such as ``"efficientformer_l1"``) for `target`.

    A model by name gets the same random weights every time, if it has none of its own.
    With `threads`, kernels are cut for so many cores (any number of threads may run them).
    Without `example_inputs` the size the model states is used, at batch one.  `passes` replaces
    the pipeline, `disable` leaves out passes by name, `hook` sees every stage.  The bundle is
    written into `out`, or kept in a temporary folder until `save`.  Where the target runs here
    the result is compared with eager PyTorch on two inputs; `ParityError` if it differs by more
    than `efcompile.bundle.sample.TOLERANCE`.  See `efcompile.errors` for what else it raises.

    The examples should be about as large as what the model will be given: on cores that multiply
    pairs of elements (`efcompile.kernels.pairs`; AMD's Zen with AVX-512) errors grow with the
    ratio, to some 5e-5 of a layer's output where activations are a hundred times larger or smaller.

    With `compact` weights keep their size, for a few percent of speed on x86-64 (Intel hosts
    excepted), where large products are else made in seven for eight (Strassen) with 7/4 of the
    weights, if that is the fastest (next to pairs it hardly is).

    The results used last stay in memory, up to `efcompile.reuse.LIMIT_BYTES`: with `reuse`, a
    call with the same graph, weights and options as an earlier one takes what that one made.

    Kernels have the knobs that tuning found for this class of targets, where the package ships
    any; those in the folder `tuning_records` (the work dir of tuning, or a bundle) come first.
    `emulated_records` takes what was found there under emulation, and without `tuned` the analytic
    defaults are used alone.  Where winners say so, fused ops are taken apart again behind the
    default pipeline (`split-fused`).  See `efcompile.kernels.tuning_records.find_knobs` for what
    is raised.
    """
    # The compiler imports TVM, which loading and running a bundle does not need.
    from efcompile.building import History, build_checked, intact, named_model
    from efcompile.capture import capture, name_of
    from efcompile.kernels.tuning_records import find_knobs
    from efcompile.models.zoo import title_of
    from efcompile.passes.pipeline import build_pipeline
    from efcompile.reuse import RESULTS, key_of

    count = _threads(threads)
    described = resolve(target, cpu=cpu, features=features, compact=compact, threads=threads)
    object_toolchain(described)  # a missing compiler is better told before the work
    knobs = find_knobs(described, tuning_records, emulated=emulated_records, tuned=tuned)
    source = knobs.source
    pipeline = build_pipeline(passes, disable, source.splits(described))
    module = named_model(model) if isinstance(model, str) else model
    title = name or (title_of(model) if isinstance(model, str) else name_of(module))
    with timed() as seconds:
        with step("capture"):
            captured = capture(module, example_inputs)
        with step("reuse"):
            key = key_of(captured, title, described, pipeline, count, source) if reuse else None
            result = intact(RESULTS.get(key))
        reused = result is not None
        if result is None:
            result = build_checked(
                module, captured, described, pipeline, title, hook, count, source
            )
            RESULTS.put(key, result)
        elif hook is not None:
            for stage in result.stages:
                hook(stage)
        with step("bundle"):
            path = result.path if out is None else copy_bundle(result.path, Path(out))
            bundle = load_bundle(path)
    compiled = CompiledModel(bundle, count, folder=result.folder if out is None else None)
    notes = (*captured.notes, *knobs.notes)
    compiled.history = History(
        captured, pipeline, result.stages, source, notes, result.parity, seconds, reused
    )
    return compiled


def _threads(threads: int | None) -> int:
    if threads is None:
        return len(os.sched_getaffinity(0))
    if threads < 1:
        raise InputError(f"threads must be at least 1, not {threads}")
    return threads
