"""This machine's own peaks: multiply-add, by a kernel that does nothing else, and copying."""

import ctypes
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from efcompile.bundle.toolchain import object_toolchain
from efcompile.kernels.emit import Emitter, float32
from efcompile.targets.resolve import resolve
from efcompile.targets.target import Target
from efcompile.tvm_api import build_object

_STEPS = 200_000
_CHAINS = 12
"""Independent accumulators: more than pipes times latency on any core so far, and they fit."""


def _function(target: Target) -> object:
    e = Emitter()
    out = e.pointer("out")
    e.integer("begin")
    chains = [e.register(target.lanes, value=e.load(out, 0, target.lanes)) for _ in range(_CHAINS)]
    factor, term = e.let(e.load(out, 0, target.lanes)), e.let(e.load(out, 16, target.lanes))
    with e.loop(_STEPS, "step"):
        for chain in chains:
            e.set(chain, e.get(chain) * factor + term)
    total = float32(0.0, target.lanes)
    for chain in chains:
        total = total + e.get(chain)
    e.store(out, 0, total, target.lanes)
    return e.finish("fma_peak")


def fma_peak(target: Target | None = None, repeats: int = 15) -> float:
    """GFLOP/s of one core: the best of `repeats` short runs of code for `target`, which this
    machine must be able to run; by default, all that it can do."""
    target = target or resolve("host")
    run = native(_function(target), "fma_peak", target)
    data = (ctypes.c_float * 32)(*([0.5] * 32))
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run(data, 0)
        best = min(best, time.perf_counter() - start)
        data[:] = [0.5] * 32
    return 2 * _CHAINS * target.lanes * _STEPS / best / 1e9


def native(function: object, name: str, target: Target) -> Any:
    """The kernel `function` (a PrimFunc called `name`) compiled for this machine, as ctypes
    calls it.  `ToolchainError` if there is no linker."""
    with tempfile.TemporaryDirectory() as folder:
        code, library = Path(folder) / f"{name}.o", Path(folder) / f"{name}.so"
        code.write_bytes(build_object([function], target))
        object_toolchain(target).link_shared([code], library)
        return ctypes.CDLL(str(library))[name]


_LARGE = 256 << 20


def beyond_caches(target: Target) -> int:
    """Bytes of an array that no cache of `target` holds, with another like it: 256 MB, or as many
    as the last level has (a whole socket's may have hundreds)."""
    return max(_LARGE, target.llc_bytes)


def fewer(repeats: int, size: int) -> int:
    """Of `repeats` as many, but three at least, as take no longer over `size` bytes than all of
    them over 256 MB."""
    return min(repeats, max(3, repeats * _LARGE // size))


def copy_peak(megabytes: float | None = None, repeats: int = 15) -> float:
    """GB/s of one core copying an array of `megabytes` (2**20 bytes): bytes read plus bytes
    written, the best of `repeats`.

    By default the array is of `beyond_caches` bytes, so the figure is memory's.  A size that fits
    a cache, source and destination together, gives that cache's.  The C library copies, with the
    instructions it chose when the process started.
    """
    size = beyond_caches(resolve("host")) if megabytes is None else int(megabytes * 2**20)
    repeats = fewer(repeats, size)
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    # A small copy is over before the clock has ticked often enough.
    copies = max(1, (16 << 20) // size)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(copies):
            np.copyto(target, source)
        best = min(best, (time.perf_counter() - start) / copies)
    return 2 * size / best / 1e9
