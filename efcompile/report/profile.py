"""One bundle, call by call: time on a clock, or instructions under emulation.

On ``local`` every round runs the whole model without clocks between its calls, and once more with
a clock around each.  Medians of the calls would not add up: in no inference does every call take
its median, and on a busy machine their sum can be half of what the network takes.  So figures are
means over the middle half of the rounds, those whose time for both runs together is between the
quartiles: means add up, and the rounds that were disturbed most are out.  What remains between
the calls' sum and the whole is reading the clock (some 20 ns a call) and the noise of two runs.
The machine's rates are measured right after the rounds.

On ``qemu`` every call's instructions are counted, and add up exactly.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from efcompile.bundle import sample
from efcompile.bundle.library import Library
from efcompile.bundle.load import Bundle
from efcompile.bundle.manifest import CallEntry, Manifest
from efcompile.devices.device import Device
from efcompile.devices.emulator import emulator_version
from efcompile.devices.local import Local, noise
from efcompile.devices.qemu import Qemu
from efcompile.errors import DeviceError, InputError
from efcompile.report.classes import classify
from efcompile.report.document import Figure, KernelRow, Profile, Provenance
from efcompile.report.machine import Machine, measure
from efcompile.report.memory import tensors
from efcompile.report.provenance import machine_of
from efcompile.report.roofline import Needs, bound

ROUNDS = 60
"""Rounds of a timed profile, if nobody says."""
_WARMUP = 3
_LEAST_CALM = 5
_MAY_DIFFER = 0.05
"""How far the calls' sum may be from the whole model's time, as a share of it."""

Samples = NDArray[np.int64]


def profile_bundle(
    bundle: Bundle,
    device: Device,
    threads: int = 1,
    rounds: int = ROUNDS,
    *,
    stage: str = "bundle",
    provenance: str = "profile",
    machine: Machine | None = None,
) -> Profile:
    """Profile `bundle` on `local` or `qemu`, with the sample it carries (else noise) as its input.

    `rounds` (at least 4) and `machine` (this machine's rates for as many threads, if they were
    measured already in the same run) mean something on `local` alone.  `stage` and `provenance`
    are what the result calls itself and the key of its figures' provenance.

    Raises `InputError` for too few rounds, `DeviceError` for other devices, and for several
    threads on `qemu`; what running the bundle raises.
    """
    if isinstance(device, Local):
        return _timed(bundle, threads, rounds, stage, provenance, machine)
    if isinstance(device, Qemu):
        return _counted(bundle, device, threads, stage, provenance)
    raise DeviceError(f"profiles are made on local or qemu, not on {device.name}")


def profile_provenance(bundle: Bundle, device: Device, threads: int) -> Provenance:
    """Where the figures of a profile made now come from."""
    emulated = isinstance(device, Qemu)
    versions = dict(bundle.manifest.versions)
    return Provenance(
        device=device.name,
        target=bundle.manifest.target.name,
        machine=machine_of(device, bundle),
        threads=threads,
        kind="emulated" if emulated else "measured",
        versions=versions | {"qemu": emulator_version()} if emulated else versions,
        date=date.today().isoformat(),
    )


def disturbance(profile: Profile) -> str | None:
    """What to tell people of a profile whose calls do not add up to the whole, as the machine
    was too busy with other things; None of one that can be relied on."""
    share = sum(row.cost.value for row in profile.kernels) / (profile.whole.value or 1.0)
    if abs(share - 1) <= _MAY_DIFFER:
        return None
    return (
        f"the calls add up to {share:.0%} of the whole model: the machine was busy with other "
        "things, or the model is so small that reading the clock counts; try more --rounds"
    )


def inputs_of(bundle: Bundle) -> list[NDArray[Any]]:
    """What a bundle is measured with: its sample, or noise where it carries none."""
    return sample.read(bundle)[0] if sample.NAME in bundle.manifest.files else noise(bundle)


def clock_calls(bundle: Bundle, threads: int, rounds: int) -> tuple[Samples, Samples]:
    """Nanoseconds of the whole model [rounds] and of every call [rounds, calls], taking turns."""
    library, inputs = Library(bundle, threads), inputs_of(bundle)
    whole, calls = [], []
    for turn in range(-_WARMUP, rounds):
        # Who comes second finds the other's caches, so they swap.
        if turn % 2:
            clocked, profiled = library.clock(inputs), library.profile(inputs)
        else:
            profiled, clocked = library.profile(inputs), library.clock(inputs)
        if turn >= 0:
            whole.append(clocked)
            calls.append(profiled)
    return np.array(whole, np.int64), np.stack(calls)


def calm_rounds(whole: Samples, calls: Samples) -> NDArray[np.intp]:
    """The rounds whose two runs together took least: a tenth of all, but five at least, where
    that is no more than half."""
    rounds = len(whole)
    count = min(-(-rounds // 2), max(_LEAST_CALM, -(-rounds // 10)))
    return np.argsort(whole + calls.sum(axis=1), kind="stable")[:count]


def _timed(
    bundle: Bundle,
    threads: int,
    rounds: int,
    stage: str,
    provenance: str,
    machine: Machine | None,
) -> Profile:
    if rounds < 4:
        raise InputError(f"a profile needs at least 4 rounds, not {rounds}")
    whole, calls = clock_calls(bundle, threads, rounds)
    kept = calm_rounds(whole, calls)
    machine = measure(threads) if machine is None else machine
    manifest = bundle.manifest
    resident = manifest.sizes.weights + manifest.sizes.arena
    costs = [_time(times, provenance) for times in calls[kept].T]
    shares = [
        bound(_needs(manifest, call), machine, resident).ns / max(cost.value, 1.0)
        for call, cost in zip(manifest.calls, costs, strict=True)
    ]
    peaks = {
        "fma": _peak(machine.fma * 1e9, "FLOP/s", provenance),
        "copy": _peak(machine.levels[-1].copy * 1e9, "B/s", provenance),
    }
    return Profile(
        stage=stage,
        whole=_time(whole[kept], provenance),
        peaks=peaks,
        kernels=_rows(manifest, costs, shares),
        arena_bytes=manifest.sizes.arena,
        tensors=tensors(manifest),
    )


def _counted(bundle: Bundle, device: Qemu, threads: int, stage: str, provenance: str) -> Profile:
    if threads != 1:
        raise DeviceError(
            f"qemu counts instructions of one thread, not of {threads}: profile with threads=1"
        )
    inputs = inputs_of(bundle)
    whole = device.measure(bundle, inputs)["instructions"].value
    costs = [_count(call.total, provenance) for call in device.profile(bundle, inputs)]
    return Profile(
        stage=stage,
        whole=_count(whole, provenance),
        peaks={},
        kernels=_rows(bundle.manifest, costs, [None] * len(costs)),
        arena_bytes=bundle.manifest.sizes.arena,
        tensors=tensors(bundle.manifest),
    )


def _rows(
    manifest: Manifest, costs: Sequence[Figure], rooflines: Sequence[float | None]
) -> tuple[KernelRow, ...]:
    total = sum(cost.value for cost in costs) or 1.0
    classes = classify(manifest.calls)
    rows = []
    for index, call in enumerate(manifest.calls):
        kernel = manifest.kernels[call.kernel]
        rows.append(
            KernelRow(
                index=index,
                symbol=kernel.symbol,
                kernel=kernel.name,
                op=call.op,
                survey_class=classes[index],
                sources=call.sources,
                cost=costs[index],
                share=costs[index].value / total,
                flops=call.flops,
                moved_bytes=call.weight_bytes + call.activation_bytes,
                roofline_share=rooflines[index],
            )
        )
    return tuple(rows)


def _needs(manifest: Manifest, call: CallEntry) -> Needs:
    work = manifest.kernels[call.kernel].work
    return Needs(work, call.weight_bytes, call.activation_bytes)


def _time(times: Samples, provenance: str) -> Figure:
    value = float(times.mean())
    low, high = (float(q) for q in np.quantile(times, (0.25, 0.75)))
    return Figure(
        value=value,
        low=min(low, value),
        high=max(high, value),
        unit="ns",
        samples=len(times),
        provenance=provenance,
    )


def _count(value: float, provenance: str) -> Figure:
    return Figure(
        value=value,
        low=value,
        high=value,
        unit="instructions",
        samples=1,
        provenance=provenance,
    )


def _peak(value: float, unit: str, provenance: str) -> Figure:
    fields = {"value": value, "low": value, "high": value, "unit": unit, "samples": 1}
    return Figure.model_validate({**fields, "provenance": provenance})
