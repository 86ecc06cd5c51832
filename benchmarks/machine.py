"""This machine's own rates, measured in the run that uses them: vector units, ports, copies."""

import ctypes
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peaks import copy_peak, fma_peak
from efcompile.bundle.memory import zeroed
from efcompile.kernels.emit import Emitter, View, float32
from efcompile.targets.resolve import resolve
from efcompile.targets.target import Target
from efcompile.tvm_api import build_object

_CHAINS = 12
_VECTORS = 96
"""Vectors of the array that is loaded and stored: fits every L1, 12 chains divide it."""
_STEPS = 20_000


@dataclass(frozen=True)
class Level:
    """A copy of `bytes` (source and destination together) runs at `gbs` GB/s, read plus written;
    it stays in the cache `name` (or goes to memory)."""

    name: str
    bytes: int
    gbs: float


@dataclass(frozen=True)
class Machine:
    """Rates of `threads` cores: `fma` in GFLOP/s (two to an instruction), `add`, `load` and
    `store` (from L1) in elements per nanosecond; copies by `levels`, from L2 outwards.

    One core is measured.  More threads are taken to be as fast each, which memory and clocks
    may not allow: shares of a peak on several threads are lower bounds.
    """

    threads: int
    lanes: int
    fma: float
    add: float
    load: float
    store: float
    levels: tuple[Level, ...]

    def level(self, size: float) -> Level:
        """The innermost level that holds `size` bytes."""
        return next((level for level in self.levels if size <= level.bytes), self.levels[-1])


def measure(threads: int) -> Machine:
    """Measure one core (about two seconds) and describe `threads` of them."""
    target = resolve("host")
    add, load, store = (_rate(target, emit) for emit in (_adds, _loads, _stores))
    caches = (("L2", target.l2_bytes), ("L3", target.llc_bytes))
    # Half of a cache: the rest is left to what else runs.
    levels = [
        Level(name, size, threads * copy_peak(size / 4 / 2**20))
        for name, size in caches
        if size > 0
    ]
    memory = Level("memory", 1 << 62, threads * copy_peak())
    fma = threads * fma_peak()
    rates = (threads * rate for rate in (add, load, store))
    return Machine(threads, target.lanes, fma, *rates, (*levels, memory))


_Body = Callable[[Emitter, View, int], None]


def _adds(e: Emitter, data: View, lanes: int) -> None:
    term = e.let(e.load(data, 0, lanes))
    chains = _chains(e, data, lanes)
    with e.loop(_STEPS, "step"), e.loop(_VECTORS // _CHAINS, "i"):
        for chain in chains:
            e.set(chain, e.get(chain) + term)
    _sum(e, data, lanes, chains)


def _loads(e: Emitter, data: View, lanes: int) -> None:
    chains = _chains(e, data, lanes)
    with e.loop(_STEPS, "step"), e.loop(_VECTORS // _CHAINS, "i") as i:
        for c, chain in enumerate(chains):
            e.set(chain, e.get(chain) + e.load(data, (i * _CHAINS + c) * lanes, lanes))
    _sum(e, data, lanes, chains)


def _stores(e: Emitter, data: View, lanes: int) -> None:
    value = e.register(lanes, value=e.load(data, 0, lanes))
    with e.loop(_STEPS, "step") as step:
        # Places that move: else LLVM would keep them in registers and store them once.
        start = e.let(step % _CHAINS)
        with e.loop(_VECTORS // _CHAINS, "i") as i:
            for c in range(_CHAINS):
                e.store(data, (start + i * _CHAINS + c) * lanes, e.get(value), lanes)


def _chains(e: Emitter, data: View, lanes: int) -> list[Any]:
    return [e.register(lanes, value=e.load(data, c * lanes, lanes)) for c in range(_CHAINS)]


def _sum(e: Emitter, data: View, lanes: int, chains: list[Any]) -> None:
    total = float32(0.0, lanes)
    for chain in chains:
        total = total + e.get(chain)
    e.store(data, 0, total, lanes)


def _rate(target: Target, body: _Body, repeats: int = 60) -> float:
    """Elements per nanosecond of a body that handles `_STEPS` times `_VECTORS` vectors."""
    e = Emitter()
    data = e.pointer("data")
    body(e, data, target.lanes)
    with tempfile.TemporaryDirectory() as folder:
        code, library = Path(folder) / "rate.o", Path(folder) / "rate.so"
        code.write_bytes(build_object([e.finish("rate")], target))
        subprocess.run(["cc", "-shared", "-o", str(library), str(code)], check=True)
        run = ctypes.CDLL(str(library)).rate
        data_bytes = zeroed((_VECTORS + _CHAINS) * target.vector_bits // 8)
        data_bytes[:] = 0  # otherwise not yet pages of their own
        best = float("inf")
        for _ in range(repeats):
            start = time.perf_counter_ns()
            run(ctypes.c_void_p(data_bytes.ctypes.data))
            best = min(best, time.perf_counter_ns() - start)
    return _STEPS * _VECTORS * target.lanes / best
