"""Whether contestants run AVX-512 instructions: seen by sampling what they execute."""

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from efcompile.devices.plugin import build_library
from efcompile.errors import DeviceError

_SOURCE = Path(__file__).parent / "native" / "evex_meter.c"
_PERIOD_NS = 500_000
_LOOK_SECONDS = 0.05
"""Long enough for every thread of a contestant to have its part of the work."""
_SECONDS = 0.5
_LEAST = 100
"""Samples without which nothing is known."""


@dataclass(frozen=True)
class Reading:
    """Instructions that threads at work were found at, and how many were of AVX-512."""

    samples: int
    evex: int


def read(run: Callable[[], object], seconds: float = _SECONDS) -> Reading:
    """Call `run` again and again for so long and look at every working thread 2000 times a second.

    Threads that `run` starts anew each time are not seen; those it keeps are.  Raises
    `DeviceError` if timers cannot be had.
    """
    meter = _meter()
    if meter.ef_meter_look():
        raise DeviceError("cannot list this process's threads: /proc is not mounted. Mount it")
    _repeat(run, _LOOK_SECONDS)
    try:
        if meter.ef_meter_start(ctypes.c_long(_PERIOD_NS)) < 0:
            raise DeviceError("no more timers for this user: raise `ulimit -i`")
        _repeat(run, seconds)
    finally:
        samples, evex = ctypes.c_long(), ctypes.c_long()
        meter.ef_meter_stop(ctypes.byref(samples), ctypes.byref(evex))
    return Reading(samples.value, evex.value)


def objection(reading: Reading) -> str | None:
    """Why a contestant was not held to AVX2, or may not have been."""
    if reading.evex:
        return f"ran AVX-512 instructions in {reading.evex} of {reading.samples} samples"
    if reading.samples < _LEAST:
        return f"was found at work only {reading.samples} times: too few to see what it runs"
    return None


def _repeat(run: Callable[[], object], seconds: float) -> None:
    end = time.perf_counter() + seconds
    run()
    while time.perf_counter() < end:
        run()


@cache
def _meter() -> ctypes.CDLL:
    return ctypes.CDLL(str(build_library(_SOURCE, "looking for AVX-512 instructions")))
