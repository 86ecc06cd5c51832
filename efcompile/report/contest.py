"""All distinct programs measured in one run: times in turns, or instructions of one inference."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial

from efcompile.bundle import sample
from efcompile.bundle.library import Library
from efcompile.bundle.load import Bundle
from efcompile.devices.device import Device
from efcompile.devices.interleave import take_turns
from efcompile.devices.local import Local
from efcompile.devices.measurement import Measurement, summarise
from efcompile.devices.qemu import Qemu
from efcompile.errors import DeviceError, InputError
from efcompile.report.watch import Watch, silent

BUDGET_SECONDS = 60.0
"""How long measuring may take where it takes time, if nobody says."""
MOST_ROUNDS, LEAST_ROUNDS = 100, 5
UNTIMED = 2
"""Calls before the timed one of a turn: the first touches fresh pages and brings the weights
into the caches, the second finds threads awake."""


@dataclass(frozen=True)
class Score:
    """What one program costs: the total, its parts by class (instructions only), and the total
    in every round (a count, which repeats exactly, has one)."""

    total: Measurement
    classes: Mapping[str, Measurement]
    samples: tuple[float, ...]


@dataclass(frozen=True)
class Contest:
    """Scores by name, each with a sample from every round."""

    scores: Mapping[str, Score]
    rounds: int


def hold_contest(
    bundles: Mapping[str, Bundle],
    device: Device,
    threads: int,
    seconds: float = BUDGET_SECONDS,
    watch: Watch = silent,
) -> Contest:
    """Measure every bundle on `device`, with the sample it carries as its input.

    On `local`, rounds in which each has a turn, from `LEAST_ROUNDS` to `MOST_ROUNDS` of them: as
    many as fit into `seconds`.  A turn loads the library anew, so that no program keeps a lucky
    or unlucky place in memory for the whole run, calls it `UNTIMED` times, and times one call,
    without what Python does around it.  On `qemu`, one count each, however long that takes.

    Raises `DeviceError` for other devices and for what the device refuses.
    """
    if isinstance(device, Local):
        scores, rounds = _time(bundles, threads, seconds, watch)
        return Contest(scores, rounds)
    if isinstance(device, Qemu):
        return Contest(_count(bundles, device, threads, watch), rounds=1)
    raise DeviceError(f"reports are measured on local or qemu, not on {device.name}")


def check_budget(device: Device, budget: float | None) -> None:
    """Raise `InputError` for a budget in seconds that means nothing on `device`."""
    if budget is None:
        return
    if isinstance(device, Qemu):
        raise InputError("qemu counts each stage once, exactly: a budget changes nothing there")
    if not budget > 0:
        raise InputError(f"the budget must be a positive number of seconds, not {budget:g}")


def _time(
    bundles: Mapping[str, Bundle], threads: int, seconds: float, watch: Watch
) -> tuple[dict[str, Score], int]:
    turns = {name: _turn(bundle, threads) for name, bundle in bundles.items()}
    found = take_turns(
        turns,
        MOST_ROUNDS,
        warmup=1,
        seconds=seconds,
        least=LEAST_ROUNDS,
        watch=partial(watch, "measure", "round"),
    )
    scores = {name: _timed(bundles[name], threads, times) for name, times in found.items()}
    return scores, len(next(iter(found.values())))


def _turn(bundle: Bundle, threads: int) -> Callable[[], int]:
    inputs, _ = sample.read(bundle)

    def turn() -> int:
        library = Library(bundle, threads)
        for _ in range(UNTIMED):
            library.run(inputs)
        return library.clock(inputs)

    return turn


def _timed(bundle: Bundle, threads: int, times: Sequence[int]) -> Score:
    median, quartiles = summarise(times)
    manifest = bundle.manifest
    total = Measurement(
        value=median,
        unit="ns",
        spread=quartiles,
        samples=len(times),
        device=Local.name,
        target=manifest.target.name,
        threads=threads,
        kind="measured",
        versions=manifest.versions,
    )
    return Score(total, {}, tuple(times))


def _count(
    bundles: Mapping[str, Bundle], device: Qemu, threads: int, watch: Watch
) -> dict[str, Score]:
    """Side by side: what else runs does not change a count."""

    def count(bundle: Bundle) -> Score:
        inputs, _ = sample.read(bundle)
        found = device.measure(bundle, inputs, threads=threads)
        total = found.pop("instructions")
        return Score(total, found, (total.value,))

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        jobs = {pool.submit(count, bundle): name for name, bundle in bundles.items()}
        for done, job in enumerate(as_completed(jobs), 1):
            job.result()
            watch("measure", jobs[job], done, len(jobs))
    return {name: job.result() for job, name in jobs.items()}
