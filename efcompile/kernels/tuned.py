"""What tuning leaves behind: the knobs that won, for a class of targets, as a small JSON file.

Winners that ship with the package lie in the folder ``tuned`` beside this file, one file for a
class of targets, and are used wherever they apply; see `efcompile.kernels.knob_source`.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from efcompile.errors import TuningError
from efcompile.targets.target import Target

FORMAT: Literal[1] = 1
Kind = Literal["measured", "emulated"]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


M = TypeVar("M", bound=BaseModel)


class Winner(_Frozen):
    """The best knobs of `kernel` (its name) at `shape` (the ``repr`` of its `Shape`), by path.

    `start` is what the knobs that tuning began with cost and `best` what these do, both of one
    interleaved run, in `unit`: ``ns`` or ``instructions`` a call.
    """

    kernel: str
    shape: str
    knobs: dict[str, int]
    start: Finite
    best: Finite
    unit: str
    date: str


class Split(_Frozen):
    """Whether a fused op had better be its parts: what `op` with that `signature` (see
    `efcompile.passes.fused_parts`) costs as one kernel and `apart`, both with their best knobs.
    One that costs no less apart is here too: then it is known that it stays fused."""

    op: str
    signature: str
    fused: Finite
    apart: Finite
    unit: str
    date: str

    @property
    def pays(self) -> bool:
        """Whether the parts are cheaper."""
        return self.apart < self.fused


class TargetClass(_Frozen):
    """All of a target that makes knobs good or bad.  `cores` is how many there were: knobs of a
    class are used on machines with more or fewer, if they leave every core its share."""

    arch: Literal["x86_64", "aarch64"]
    cpu: str
    features: tuple[str, ...]
    vector_bits: int
    registers: int
    l1_bytes: int
    l2_bytes: int
    cores: int

    @classmethod
    def of(cls, target: Target) -> "TargetClass":
        """The class that `target` belongs to."""
        fields = {name: getattr(target, name) for name in cls.model_fields}
        return cls(**fields | {"features": tuple(sorted(target.features))})

    @property
    def name(self) -> str:
        """A file name, the same for the same class: ``x86_64-x86-64-v4-5f0c9a31``."""
        text = json.dumps(self.model_dump(exclude={"cores"}), sort_keys=True)
        return f"{self.arch}-{self.cpu}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


class Winners(_Frozen):
    """What was found for one class of targets on `device`, by as many `threads`; `kind` tells
    times of real hardware from instructions counted, or times taken, under emulation."""

    format: Literal[1] = FORMAT
    target: TargetClass
    device: str
    kind: Kind
    threads: int
    versions: dict[str, str]
    winners: tuple[Winner, ...] = ()
    splits: tuple[Split, ...] = ()

    def applies_to(self, target: Target) -> bool:
        """Whether `target` is of this class: equal but for the number of cores."""
        return self.target.name == TargetClass.of(target).name

    def related_to(self, target: Target) -> bool:
        """Whether these are worth trying first on `target`: same instruction set and vectors."""
        return (self.target.arch, self.target.vector_bits) == (target.arch, target.vector_bits)

    def merge(self, other: "Winners") -> "Winners":
        """`other`, found later, and whatever of these it says nothing about.

        Raises `TuningError` if they are of two classes, or of two kinds.
        """
        if (self.target.name, self.kind) != (other.target.name, other.kind):
            raise TuningError(
                f"cannot merge {self.kind} records of {self.target.name} with {other.kind} ones of "
                f"{other.target.name}: keep them in folders of their own"
            )
        winners = {(w.kernel, w.shape): w for w in (*self.winners, *other.winners)}
        splits = {s.signature: s for s in (*self.splits, *other.splits)}
        merged = {"winners": tuple(winners.values()), "splits": tuple(splits.values())}
        return other.model_copy(update=merged)

    def dump(self, path: Path) -> None:
        """Write a file that `load` reads, whole or not at all; a line for each winner.

        Raises `TuningError` if it cannot be written.
        """
        try:
            self._write(path)
        except OSError as error:
            raise TuningError(f"cannot write {path}: {error.strerror}") from error

    def _write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text_of(self.model_dump(mode="json")))
            os.chmod(partial, 0o644)
            os.replace(partial, path)
        except BaseException:
            os.unlink(partial)
            raise

    @classmethod
    def load(cls, path: Path) -> "Winners":
        """Read what `dump` wrote.  Raises `TuningError` naming the file, and the line or field
        that is damaged."""
        return read_model(cls, path)


def read_model(model: type[M], path: Path) -> M:
    """The JSON file `path` as a `model`; raises `TuningError` as `Winners.load` does."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TuningError(f"cannot read {path}: {error.strerror}; tune again") from error
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TuningError(
            f"{path} is damaged: {f'{where}: ' if where else ''}{first['msg']}; mend it, or remove "
            "it and tune again"
        ) from error


def text_of(fields: Mapping[str, Any]) -> str:
    """JSON with a line for each field, and for each entry of a list."""
    lines = ",\n".join(f"  {json.dumps(name)}: {_value(value)}" for name, value in fields.items())
    return f"{{\n{lines}\n}}\n"


def _value(value: Any) -> str:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        return json.dumps(value)
    entries = ",\n".join(f"    {json.dumps(entry)}" for entry in value)
    return f"[\n{entries}\n  ]"
