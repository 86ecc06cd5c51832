"""`Program`: everything `bundle/` needs, and its only input.

A program is straight-line: it runs `calls` in order over `buffers`.  Every kernel has the
same raw C signature, without any runtime behind it::

    void symbol(T0 *arg0, ..., Tn *argn, void *scratch, int32_t begin, int32_t end)

It does the tasks ``begin <= t < end`` of the call's `tasks`; tasks of one call are
independent, so any split over threads is right.  `scratch` points to at least the kernel's
`scratch_bytes` bytes (64-byte aligned) that belong to the calling thread alone.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from efcompile.kernels.knob_source import Origin
from efcompile.kernels.tuned import Winner
from efcompile.targets.target import Target

ALIGNMENT = 64
"""Bytes to which arena, weights, scratch and every buffer in them are aligned."""

BufferKind = Literal["input", "output", "arena", "constant"]


@dataclass(frozen=True)
class Buffer:
    """A contiguous tensor, or bytes of one.

    `offset` is in bytes from the start of the arena (kind ``arena``) or of the weights
    (``constant``), and the position in the boundary's list for ``input`` and ``output``.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    kind: BufferKind
    offset: int

    @property
    def bytes(self) -> int:
        """Size in bytes, unpadded."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class KernelFunction:
    """One compiled function, shared by every call of equal shape.

    `func` is a `tvm.tirx.PrimFunc` whose parameters are `arity` pointers, the scratch
    pointer, and two int32: begin and end.  `kernel` names the file in `efcompile/kernels`,
    `shape` and `knobs` are that kernel's own (None where the code has none: leftovers), and
    `origin` says where the knobs are from: with what tuning found, the `winner`, if not analytic.
    A thread had better get all its tasks of a `chained` kernel in one range.
    """

    symbol: str
    kernel: str
    func: Any
    arity: int
    scratch_bytes: int
    shape: Any = None
    knobs: Any = None
    chained: bool = False
    origin: Origin = "analytic"
    winner: Winner | None = None


@dataclass(frozen=True)
class Call:
    """One kernel call.  `args` are buffer names, outputs last; `sources` are the module
    paths of the user's model that it came from; `flops` and `bytes` are its nominal cost."""

    symbol: str
    args: tuple[str, ...]
    tasks: int
    op: str
    sources: tuple[str, ...]
    flops: int
    bytes: int


@dataclass(frozen=True)
class Program:
    """A lowered model.  `constants` maps constant buffer names to their packed values."""

    name: str
    target: Target
    buffers: dict[str, Buffer]
    constants: dict[str, NDArray[Any]]
    kernels: dict[str, KernelFunction]
    calls: tuple[Call, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    arena_bytes: int
    leftovers: tuple[str, ...] = ()

    @property
    def scratch_bytes(self) -> int:
        """Scratch one thread needs: the largest of any kernel, rounded to `ALIGNMENT`."""
        most = max((k.scratch_bytes for k in self.kernels.values()), default=0)
        return -(-most // ALIGNMENT) * ALIGNMENT

    @property
    def weight_bytes(self) -> int:
        """Size of the constants laid out at their offsets."""
        ends = [b.offset + b.bytes for b in self.buffers.values() if b.kind == "constant"]
        return max(ends, default=0)
