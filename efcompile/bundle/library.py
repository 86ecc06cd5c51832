"""A bundle's shared library in this process, without TVM."""

import ctypes
import os
import platform
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from efcompile.bundle.abi import STATUSES
from efcompile.bundle.boundary import Boundary, point
from efcompile.bundle.load import Bundle
from efcompile.bundle.memory import mapped, zeroed
from efcompile.errors import BundleError, DeviceError, InputError

Array = NDArray[Any]


class Library:
    """Runs a bundle on this machine.

    Safe to call from several threads at once: each call takes an arena and a pool of its own,
    made when none is free and kept for later calls.

    Raises `BundleError` if the bundle is for another system or architecture, lacks its shared
    library, or needs CPU features that this machine does not have.
    """

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        """Load `bundle`; `threads` (default: the cores this process may use) serve each run."""
        _check_machine(bundle)
        self.bundle = bundle
        self.threads = len(os.sched_getaffinity(0)) if threads is None else _positive(threads)
        prefix = bundle.manifest.prefix
        self._native = _bind(bundle, prefix)
        self._weights = mapped(bundle.file("weights.bin"))
        self._boundary = Boundary(bundle.manifest)
        self._free: dict[int, list[_Lane]] = {self.threads: []}
        self._check(self._native.check(self._weights.ctypes.data, self._weights.nbytes))

    def run(self, inputs: Sequence[Array], threads: int | None = None) -> list[Array]:
        """One inference: the outputs for `inputs`, each an array of the manifest's dtype and
        shape (an array that is not contiguous or not aligned is copied).

        Raises `InputError` for inputs that do not fit.
        """
        outputs = self._boundary.results()
        self._call(self._native.run, inputs, outputs, threads)
        return outputs

    def profile(
        self, inputs: Sequence[Array], threads: int | None = None, *, repeats: int = 1
    ) -> Array:
        """One inference with a clock: nanoseconds of every kernel call in the network's order,
        its waiting for all threads included (int64 [calls]; reading the clock adds some 20 ns).

        Each call is made `repeats` times in a row and the last one timed: 1 shows it as it is
        in the network, 2 with its operands in the cache.
        """
        if repeats < 1:
            raise InputError(f"repeats must be at least 1, not {repeats}")
        times = np.zeros(len(self.bundle.manifest.calls), np.int64)
        more = (repeats, times.ctypes.data, times.size)
        self._call(self._native.profile, inputs, self._boundary.results(), threads, *more)
        return times

    def clock(self, inputs: Sequence[Array], threads: int | None = None) -> int:
        """Nanoseconds of one inference without clocks between its calls, what Python does
        before and after left out."""
        elapsed = 0

        def timed(*arguments: Any) -> Any:
            nonlocal elapsed
            start = time.perf_counter_ns()
            status = self._native.run(*arguments)
            elapsed = time.perf_counter_ns() - start
            return status

        self._call(timed, inputs, self._boundary.results(), threads)
        return elapsed

    def _call(
        self,
        function: Any,
        inputs: Sequence[Array],
        outputs: Sequence[Array],
        threads: int | None,
        *more: Any,
    ) -> None:
        ready = self._boundary.fitting(inputs)
        count = self.threads if threads is None else _positive(threads)
        free = self._free.get(count)
        if free is None:
            free = self._free.setdefault(count, [])
        try:
            lane = free.pop()  # a list's own lock is enough
        except IndexError:
            lane = _Lane(self._native, self._weights, self._boundary, count)
        try:
            point(lane.inputs, ready)
            point(lane.outputs, outputs)
            status = function(*lane.arguments, *more)
        finally:
            free.append(lane)
        if status:
            self._check(status)

    def _check(self, status: int) -> None:
        name = STATUSES[status] if 0 <= status < len(STATUSES) else f"status {status}"
        if name == "EF_OK":
            return
        manifest = self.bundle.manifest
        if name == "EF_BAD_CPU":
            raise BundleError(
                f"{self.bundle.path} needs a CPU with {', '.join(manifest.cpu_features)}, and "
                "this machine's lacks some of them: compile for target='host', or run it "
                'under emulation with compiled.run(x, device="qemu")'
            )
        if name in ("EF_BAD_WEIGHTS", "EF_BAD_ABI"):
            raise BundleError(
                f"{self.bundle.file('weights.bin')} is of another build than the library beside "
                f"it ({name}): write the bundle again"
            )
        raise DeviceError(f"{manifest.prefix}_run refused the call with {name}")


class _Lane:
    """What one run at a time may use: an arena, for several threads a pool, and the `arguments`
    of a native call, of which `inputs` and `outputs` are to be pointed at arrays first."""

    def __init__(self, native: "_Native", weights: Array, boundary: Boundary, threads: int) -> None:
        size = native.arena_bytes(threads)
        pool = native.pool_create(threads) if threads > 1 and size else None
        if not size or (threads > 1 and not pool):
            raise DeviceError(f"cannot start {threads} threads: ask for fewer")
        self._arena = zeroed(size)
        self.inputs, self.outputs = boundary.pointers()
        self.arguments = (
            ctypes.c_void_p(weights.ctypes.data),
            ctypes.c_size_t(weights.nbytes),
            ctypes.c_void_p(self._arena.ctypes.data),
            ctypes.c_size_t(size),
            self.inputs,
            self.outputs,
            ctypes.c_void_p(pool),
        )
        if pool:
            # Not at exit: a daemon thread may still be running on it.
            weakref.finalize(self, native.pool_destroy, pool).atexit = False


class _Native:
    """The library's functions."""

    def __init__(self, library: ctypes.CDLL, prefix: str) -> None:
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        self.check: Any = library[f"{prefix}_check"]
        self.check.argtypes, self.check.restype = [pointer, size], ctypes.c_int
        self.arena_bytes: Any = library[f"{prefix}_arena_bytes"]
        self.arena_bytes.argtypes, self.arena_bytes.restype = [ctypes.c_int], size
        self.run: Any = library[f"{prefix}_run"]
        self.run.argtypes = [pointer, size, pointer, size, pointer, pointer, pointer]
        self.run.restype = ctypes.c_int
        self.profile: Any = library[f"{prefix}_profile"]
        self.profile.argtypes = [*self.run.argtypes, ctypes.c_int32, pointer, ctypes.c_int32]
        self.profile.restype = ctypes.c_int
        self.pool_create: Any = library["ef_pool_create"]
        self.pool_create.argtypes, self.pool_create.restype = [ctypes.c_int], pointer
        self.pool_destroy: Any = library["ef_pool_destroy"]
        self.pool_destroy.argtypes, self.pool_destroy.restype = [pointer], None


def _bind(bundle: Bundle, prefix: str) -> _Native:
    path = bundle.file(f"lib{prefix}.so").absolute()
    try:
        return _Native(ctypes.CDLL(_spelling(path)), prefix)
    except (OSError, AttributeError) as error:
        raise BundleError(f"cannot load {path}: {error}") from error


_loaded: dict[Path, list[tuple[int, int]]] = {}
_loading = threading.Lock()


def _spelling(path: Path) -> str:
    """A name for the file at `path` that the loader knows no other file by.

    A bundle that replaced another has its library at the same path, and the loader, which goes by
    the name before it looks at the file, would give the old one: so the second file of a path is
    loaded as ``folder/./lib.so``, and so on.
    """
    status = path.stat()
    file = (status.st_dev, status.st_ino)
    with _loading:
        files = _loaded.setdefault(path, [])
        if file not in files:
            files.append(file)
        return f"{path.parent}{'/.' * files.index(file)}/{path.name}"


def _check_machine(bundle: Bundle) -> None:
    target = bundle.manifest.target
    if sys.platform == "linux" and (target.os, target.arch) == ("linux", platform.machine()):
        return
    raise BundleError(
        f"{bundle.path} is for {target.triple} and this machine is {platform.machine()} "
        f"{sys.platform}: compile for target='host', or run it under emulation with "
        'compiled.run(x, device="qemu")'
    )


def _positive(threads: int) -> int:
    if threads < 1:
        raise InputError(f"threads must be at least 1, not {threads}")
    return threads
