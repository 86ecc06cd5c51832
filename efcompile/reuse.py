"""Whole results kept in this process: what was compiled already is not compiled again."""

import dataclasses
import hashlib
import tempfile
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from torch import Tensor

from efcompile.bundle.toolchain import object_toolchain, static_toolchain
from efcompile.capture import Captured
from efcompile.capture.fingerprint import fingerprint, tensor_bytes
from efcompile.kernels.knob_source import SHIPPED, KnobSource
from efcompile.passes.base import Pass
from efcompile.passes.manager import Stage
from efcompile.targets.target import Target

LIMIT_BYTES = 1 << 29
"""Most that kept results may take together: the tensors of their stages, and bundles."""


@dataclass(frozen=True)
class Result:
    """A finished compilation: the bundle at `path` inside `folder`, which lasts as long as
    anyone holds this; every stage; and the relative error that was measured, if it was."""

    folder: tempfile.TemporaryDirectory[str]
    path: Path
    stages: tuple[Stage, ...]
    parity: float | None

    @property
    def bytes(self) -> int:
        """What the stages' tensors, of which they share most, and the bundle's files take."""
        storages: dict[int, int] = {
            storage.data_ptr(): storage.nbytes()
            for stage in self.stages
            for tensor in stage.graph_module.state_dict().values()
            for storage in (tensor.untyped_storage(),)
        }
        files = sum(file.stat().st_size for file in self.path.iterdir())
        return sum(storages.values()) + files


class Results:
    """The results used last, at most `limit_bytes` together. Safe with threads."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._kept: OrderedDict[Hashable, tuple[int, Result]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable | None) -> Result | None:
        """The result under `key`, now the one used last."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][1]

    def put(self, key: Hashable | None, result: Result) -> None:
        """Keep `result` unless it alone is over the limit, or `key` is None; others go for it."""
        size = result.bytes
        if key is None or size > self._limit:
            return
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (size, result)
            while sum(size for size, _ in self._kept.values()) > self._limit:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Let go of all."""
        with self._lock:
            self._kept.clear()


RESULTS = Results()
"""What this process has compiled."""


def key_of(
    captured: Captured,
    title: str,
    target: Target,
    pipeline: Sequence[Pass],
    threads: int,
    knobs: KnobSource = SHIPPED,
) -> Hashable | None:
    """All that decides the result of a compilation, or None if that cannot be told for sure:
    a pass that is not of this package may read anything, a global of its module for example."""
    if any(type(step).__module__.partition(".")[0] != "efcompile" for step in pipeline):
        return None
    passes = tuple(_frozen(step) for step in pipeline)
    tools = [object_toolchain(target)]
    if target.object_format == "elf":
        tools.append(static_toolchain(target))
    tuning = knobs.fingerprint(target)
    return fingerprint(captured), title, target, passes, threads, tuple(tools), tuning


def _frozen(value: Any) -> Hashable:
    """`value`, an option of a pass or a pass, as something equal only to what is the same.

    Types are part of it, as 1, 1.0 and True are equal.  Raises `TypeError` for unknown kinds.
    """
    kind = type(value)
    if dataclasses.is_dataclass(value):
        return kind, tuple(_frozen(getattr(value, f.name)) for f in dataclasses.fields(value))
    if isinstance(value, Tensor):
        digest = hashlib.sha256(tensor_bytes(value)).digest()
        return kind, str(value.dtype), tuple(value.shape), digest
    if isinstance(value, list | tuple):
        return kind, tuple(map(_frozen, value))
    if isinstance(value, float):
        return kind, value.hex()
    if value is None or kind in (bool, int, str):
        return kind, value
    raise TypeError(f"an option of a pass is a {kind.__name__}: say in {__name__} how it is equal")
