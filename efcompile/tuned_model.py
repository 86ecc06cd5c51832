"""A compiled model, tuned: searched kernel by kernel, then judged as a whole, before and after."""

import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from efcompile.building import History, winners_used
from efcompile.bundle import sample
from efcompile.bundle.load import Bundle, load_bundle
from efcompile.bundle.trial import TrialSettings
from efcompile.bundle.write import write_bundle
from efcompile.devices.device import Device, TrialDevice
from efcompile.devices.local import Local
from efcompile.devices.measurement import Measurement, summarise
from efcompile.devices.qemu import Qemu
from efcompile.devices.statistics import difference_interval
from efcompile.errors import DeviceError, ParityError
from efcompile.kernels.knob_source import KnobSource
from efcompile.kernels.tuned import Winners
from efcompile.kernels.tuning_records import ATTACHMENT, WINNERS, Attachment
from efcompile.lowering.lower import lower
from efcompile.passes.manager import run_pipeline
from efcompile.passes.split_fused import SplitFused
from efcompile.report.contest import hold_contest
from efcompile.reuse import Result
from efcompile.tuning.board import Watch
from efcompile.tuning.tuner import HEAVIEST, Tuning, silent, tune
from efcompile.tuning.workload import tasks_of

_ROUNDS = 7
"""Turns of each model on a device that measures a whole inference by itself."""
_SECONDS = 20.0
"""How long the two models take turns on this machine."""


@dataclass(frozen=True)
class Improvement:
    """What tuning did to a whole model on one device.

    `before` and `after` are one inference, measured in turns, and `interval` is a 95 % one of the
    difference of their medians, after minus before.  `kept` says whether the winners are in use
    and in the file `winners`: not if the whole came out slower, nor if there are none.  `error`
    is the tuned model's, run on the device, relative to the output's scale.
    """

    tuning: Tuning
    before: Measurement
    after: Measurement
    interval: tuple[float, float]
    kept: bool
    winners: Path
    error: float


@dataclass(frozen=True)
class Tuned:
    """The model compiled once more, and how."""

    result: Result
    history: History


def tune_model(
    bundle: Bundle,
    history: History,
    device: Device,
    *,
    trials: int,
    work_dir: Path,
    tasks: int = HEAVIEST,
    threads: int = 1,
    watch: Watch = silent,
    stop: threading.Event | None = None,
) -> tuple[Tuned | None, Improvement]:
    """Tune the model that `optimize` left as `bundle` and `history` on `device`: what came of it,
    if it is better as a whole, and the figures.  See `tuning.tuner.tune`, also for what is raised;
    and `ParityError` if the tuned model is wrong on the device."""
    if not isinstance(device, TrialDevice):
        raise DeviceError(f"{device.name} cannot measure single kernels, so nothing is tuned on it")
    target = bundle.manifest.target
    settings = TrialSettings(
        threads=threads, rotate_bytes=bundle.manifest.files["weights.bin"].bytes
    )
    tuning = tune(
        tasks_of(history.stages[-1].graph_module, target),
        device,
        target=target,
        trials=trials,
        work_dir=work_dir,
        settings=settings,
        knobs=history.knobs,
        heaviest=tasks,
        watch=watch,
        stop=stop,
    )
    file = tuning.folder / WINNERS
    merged = Winners.load(file).merge(tuning.winners) if file.exists() else tuning.winners
    if not merged.winners and not any(split.pays for split in merged.splits):
        cost, error = _measure(bundle, device, threads), _error(bundle, device, threads)
        return None, Improvement(tuning, cost, cost, (0.0, 0.0), False, file, error)
    tuned = _compile(bundle, history, merged)
    better = load_bundle(tuned.result.path)
    error = _error(better, device, threads)
    before, after, interval = _contest(bundle, better, device, threads)
    kept = not interval[0] > 0
    if kept:
        merged.dump(file)
    improvement = Improvement(tuning, before, after, interval, kept, file, error)
    return (tuned if kept else None), improvement


def _compile(bundle: Bundle, history: History, winners: Winners) -> Tuned:
    """The model once more, from its last stage on, with the knobs of `winners`; what was split
    for the winners in use before is decided anew."""
    manifest, captured = bundle.manifest, history.captured
    target = manifest.target
    knobs = KnobSource((winners, *history.knobs.records), history.knobs.shipped)
    pipeline, stages = history.pipeline, history.stages
    splits, earlier = knobs.splits(target), history.knobs.splits(target)
    if splits != earlier:
        if pipeline[-1] == SplitFused(earlier):
            pipeline, stages = pipeline[:-1], stages[:-1]
        if splits:
            split = SplitFused(splits)
            more = run_pipeline(stages[-1].graph_module, captured.example_inputs, (split,))
            pipeline, stages = (*pipeline, split), (*stages, *more)
    last = stages[-1].graph_module
    program = lower(last, target, manifest.model, knobs, captured.example_inputs)
    attachments = {sample.NAME: bundle.file(sample.NAME).read_bytes()}
    used = winners_used(program, stages, captured, pipeline, knobs)
    if used:
        attachments[ATTACHMENT] = Attachment(used=used).dump()
    folder = tempfile.TemporaryDirectory(prefix="efcompile-")
    path = write_bundle(
        program, Path(folder.name), structure=manifest.structure, attachments=attachments
    )
    changed = replace(history, pipeline=pipeline, stages=stages, knobs=knobs, parity=None)
    return Tuned(Result(folder, path, stages, None), changed)


def _error(bundle: Bundle, device: Device, threads: int) -> float:
    """How far the model is off on the device, of the sample that the bundle carries."""
    inputs, wanted = sample.read(bundle)
    error = sample.relative_error(device.run(bundle, inputs, threads=threads), wanted)
    if not error <= sample.TOLERANCE:
        raise ParityError(
            f"{bundle.manifest.model}, tuned, differs on {device.name} from what eager PyTorch "
            f"made by {error:.2e} of the output's scale (limit {sample.TOLERANCE:.0e}), so its "
            "winners were not kept: please report it"
        )
    return error


def _contest(
    before: Bundle, after: Bundle, device: Device, threads: int
) -> tuple[Measurement, Measurement, tuple[float, float]]:
    """One inference of each, in turns, and the interval of the difference."""
    if isinstance(device, Local | Qemu):
        scores = hold_contest({"before": before, "after": after}, device, threads, _SECONDS).scores
        one, other = scores["before"], scores["after"]
        return one.total, other.total, difference_interval(other.samples, one.samples)
    found: list[list[Measurement]] = [[], []]
    for turn in range(_ROUNDS):
        for which in (0, 1) if turn % 2 else (1, 0):
            found[which].append(_measure((before, after)[which], device, threads))
    one_, other_ = (_summary(measured) for measured in found)
    samples = [[m.value for m in measured] for measured in found]
    return one_, other_, difference_interval(samples[1], samples[0])


def _measure(bundle: Bundle, device: Device, threads: int) -> Measurement:
    """What one inference costs: its time, or its instructions."""
    measured = device.measure(bundle, sample.read(bundle)[0], threads=threads)
    return measured["latency" if "latency" in measured else "instructions"]


def _summary(measured: Sequence[Measurement]) -> Measurement:
    """The median of measurements made in turns."""
    value, spread = summarise([m.value for m in measured])
    return replace(measured[0], value=value, spread=spread, samples=len(measured))
