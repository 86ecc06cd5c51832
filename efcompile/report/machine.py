"""This machine's own rates, measured in the run that uses them: vector units, ports, copies."""

import ctypes
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from efcompile.bundle.memory import zeroed
from efcompile.kernels.emit import Emitter, Expr, View, float32
from efcompile.report.peaks import beyond_caches, copy_peak, fewer, fma_peak, native
from efcompile.targets.resolve import resolve
from efcompile.targets.target import Target

_CHAINS = 12
_WORK = 2_000_000
"""Vectors that one timed run handles, at least."""
_L1_VECTORS = 96
"""Vectors of an array that fits every L1."""
_SHARE = 64 << 20
"""Bytes of the last-level cache that one core is counted to have, at most.  A socket's may have
hundreds of MB, for cores that a virtual machine does not see: of 480 MB that a Xeon states, 48 were
read at 25 GB/s and 64 at 17, as fast as memory from 128 on."""


@dataclass(frozen=True)
class Level:
    """A cache that holds `bytes`, or memory.  `copy` is GB/s of a copy in it, read plus written;
    `read` is GB/s of reading alone."""

    name: str
    bytes: int
    copy: float
    read: float


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


def measure(threads: int, target: Target | None = None) -> Machine:
    """Measure one core (about four seconds) and describe `threads` of them, as far as code for
    `target` goes: by default, all of this machine."""
    target = target or resolve("host")
    add, load, store = (_rate(target, emit, _L1_VECTORS) for emit in (_adds, _loads, _stores))
    fma = fma_peak(target)
    levels = [
        _level(target, name, size, threads)
        for name, size in (("L2", target.l2_bytes), ("L3", min(target.llc_bytes, _SHARE)))
    ]
    read = threads * _reading(target, beyond_caches(target))
    levels.append(Level("memory", 1 << 62, threads * copy_peak(), read))
    return Machine(
        threads=threads,
        lanes=target.lanes,
        # Clocks move: the better of two looks, one at either end.
        fma=threads * max(fma, fma_peak(target)),
        add=threads * add,
        load=threads * load,
        store=threads * store,
        levels=tuple(levels),
    )


def _level(target: Target, name: str, size: int, threads: int) -> Level:
    # Half of a cache: the rest is left to what else runs.
    copy = copy_peak(size / 4 / 2**20)
    return Level(name, size, threads * copy, threads * _reading(target, size // 2))


def _reading(target: Target, size: int) -> float:
    return 4 * _rate(target, _loads, size // (target.vector_bits // 8), repeats=fewer(10, size))


_Body = Callable[[Emitter, View, int, int], None]


def _adds(e: Emitter, data: View, lanes: int, vectors: int) -> None:
    term = e.let(e.load(data, 0, lanes))
    chains = _chains(e, data, lanes)
    with _places(e, lanes, vectors):
        for chain in chains:
            e.set(chain, e.get(chain) + term)
    _sum(e, data, lanes, chains)


def _loads(e: Emitter, data: View, lanes: int, vectors: int) -> None:
    chains = _chains(e, data, lanes)
    with _places(e, lanes, vectors) as place:
        for c, chain in enumerate(chains):
            e.set(chain, e.get(chain) + e.load(data, place + c * lanes, lanes))
    _sum(e, data, lanes, chains)


def _stores(e: Emitter, data: View, lanes: int, vectors: int) -> None:
    value = e.let(e.load(data, 0, lanes))
    with _places(e, lanes, vectors) as place:
        for c in range(_CHAINS):
            e.store(data, place + c * lanes, value, lanes)


@contextmanager
def _places(e: Emitter, lanes: int, vectors: int) -> Iterator[Expr]:
    """Where each group of `_CHAINS` vectors starts.  Every step begins elsewhere: else LLVM
    would hold the array in registers and on the stack, and touch it once."""
    with e.loop(_steps(vectors), "step") as step:
        start = e.let(step % _CHAINS)
        with e.loop(vectors // _CHAINS, "i") as i:
            yield e.let((start + i * _CHAINS) * lanes)


def _chains(e: Emitter, data: View, lanes: int) -> list[Any]:
    return [e.register(lanes, value=e.load(data, c * lanes, lanes)) for c in range(_CHAINS)]


def _sum(e: Emitter, data: View, lanes: int, chains: list[Any]) -> None:
    total = float32(0.0, lanes)
    for chain in chains:
        total = total + e.get(chain)
    e.store(data, 0, total, lanes)


def _steps(vectors: int) -> int:
    return -(-_WORK // vectors)


def _rate(target: Target, body: _Body, vectors: int, repeats: int = 40) -> float:
    """Elements per nanosecond of a body that goes over an array of so many vectors again and
    again; the best of `repeats` runs."""
    e = Emitter()
    data = e.pointer("data")
    body(e, data, target.lanes, vectors)
    run = native(e.finish("rate"), "rate", target)
    array = zeroed((vectors + _CHAINS) * target.vector_bits // 8)
    array[:] = 0  # otherwise not yet pages of their own
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter_ns()
        run(ctypes.c_void_p(array.ctypes.data))
        best = min(best, time.perf_counter_ns() - start)
    return _steps(vectors) * (vectors // _CHAINS * _CHAINS) * target.lanes / best
