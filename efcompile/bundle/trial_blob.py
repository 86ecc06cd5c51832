"""The data of a batch of trials as one file, `native/ef_trial_blob.h` in Python."""

import hashlib
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from efcompile.bundle.trial import Part, PartKind, Step, Trial
from efcompile.errors import BundleError
from efcompile.lowering.program import ALIGNMENT

MAGIC: Final = b"EFTRIALS"
VERSION: Final = 1
ID_BYTES: Final = 32
MAX_ARGS: Final = 64
"""Pointers a kernel of a trial may take (`EF_TRIAL_MAX_ARGS`)."""

_KINDS: Final[tuple[PartKind, ...]] = ("input", "constant", "middle", "output")
_HEADER = struct.Struct(f"<8sIIQQ{ID_BYTES}s")
_TRIAL = struct.Struct("<QQQII")
_PART = struct.Struct("<QQQ")
_STEP = struct.Struct("<IiIIQQ")


def write_blob(
    trials: Sequence[Trial], kernels: Sequence[Sequence[int]], code: bytes, path: Path
) -> bytes:
    """Write the blob of `trials` to `path` and return its id, a digest of it and of `code`.

    `kernels` are the rows of each trial's steps in the program's table, and `code` says what
    these rows are.  Equal arrays are stored once.  Raises `BundleError` for a trial that is not of
    one piece.
    """
    for trial in trials:
        _check(trial)
    layout = _Layout()
    table = layout.reserve(len(trials) * _TRIAL.size)
    for i, (trial, rows) in enumerate(zip(trials, kernels, strict=True)):
        parts = layout.add(b"".join(_part(part, layout) for part in trial.parts))
        steps = layout.add(
            b"".join(_step(step, row, layout) for step, row in zip(trial.steps, rows, strict=True))
        )
        # As JSON, so that the program can print it; and in ASCII.
        name = layout.add(json.dumps(trial.name).encode() + b"\0")
        layout.put(
            table + i * _TRIAL.size,
            _TRIAL.pack(name, parts, steps, len(trial.parts), len(trial.steps)),
        )
    return layout.write(path, len(trials), table, code)


class _Layout:
    """The file's pieces, each at a multiple of `ALIGNMENT`, equal ones only once."""

    def __init__(self) -> None:
        self._end = _HEADER.size
        self._pieces: list[tuple[int, bytes | bytearray | memoryview]] = []
        self._known: dict[bytes, int] = {}
        self._tables: dict[int, bytearray] = {}

    def reserve(self, size: int) -> int:
        """Room for `put`; returns its offset."""
        self._tables[at := self._take(size)] = room = bytearray(size)
        self._pieces.append((at, room))
        return at

    def put(self, offset: int, record: bytes) -> None:
        """Fill in a record of a reserved room."""
        start = max(at for at in self._tables if at <= offset)
        self._tables[start][offset - start : offset - start + len(record)] = record

    def add(self, data: bytes | memoryview) -> int:
        """The offset of a piece that reads `data`."""
        digest = hashlib.sha256(data).digest()
        if digest not in self._known:
            self._known[digest] = at = self._take(len(data))
            self._pieces.append((at, data))
        return self._known[digest]

    def write(self, path: Path, count: int, table: int, code: bytes) -> bytes:
        """The file; returns the id in its header, of its content and `code`."""
        digest = hashlib.sha256(code)
        for at, piece in self._pieces:
            # The other pieces are known by their digests.
            if at in self._tables:
                digest.update(piece)
        for known in self._known:
            digest.update(known)
        with path.open("wb") as file:
            header = _HEADER.pack(MAGIC, VERSION, count, self._end, table, digest.digest())
            file.write(header)
            for at, piece in self._pieces:
                file.seek(at)
                file.write(piece)
            file.truncate(self._end)
        return digest.digest()

    def _take(self, size: int) -> int:
        at = self._end
        self._end += -(-size // ALIGNMENT) * ALIGNMENT
        return at


def _part(part: Part, layout: _Layout) -> bytes:
    at = 0 if part.data is None else layout.add(_raw(part.data))
    return _PART.pack(_KINDS.index(part.kind), part.bytes, at)


def _step(step: Step, kernel: int, layout: _Layout) -> bytes:
    args = layout.add(struct.pack(f"<{len(step.args)}I", *step.args))
    return _STEP.pack(kernel, step.tasks, step.chained, len(step.args), step.scratch_bytes, args)


def _raw(data: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(data).reshape(-1).view(np.uint8).data


def _check(trial: Trial) -> None:
    if not trial.steps:
        raise BundleError(f"trial {trial.name!r} has no steps: nothing to run")
    for at, part in enumerate(trial.parts):
        where = f"part {at} ({part.kind}) of trial {trial.name!r}"
        if (part.data is None) != (part.kind == "middle"):
            raise BundleError(f"{where}: all parts but a middle have values")
        if part.data is not None and part.data.nbytes != part.bytes:
            raise BundleError(f"{where} is {part.bytes} bytes and its values {part.data.nbytes}")
        if part.kind == "output" and part.data is not None and part.data.dtype != np.float32:
            raise BundleError(f"{where}: results are compared in float32, not {part.data.dtype}")
    for step in trial.steps:
        where = f"kernel {step.symbol!r} of trial {trial.name!r}"
        if len(step.args) > MAX_ARGS:
            raise BundleError(f"{where} takes {len(step.args)} arrays, over {MAX_ARGS}")
        if any(not 0 <= at < len(trial.parts) for at in step.args):
            raise BundleError(f"{where} names a part that there is not: {step.args}")
