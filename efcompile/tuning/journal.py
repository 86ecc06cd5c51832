"""Every finished trial, one line each, written as it ends: a kill loses none.

MetaSchedule commits its records batch by batch; what a batch had finished when the tuner was
killed is here alone, and goes into the database on resuming.  A knob vector in the journal is
not run again.
"""

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date as today
from pathlib import Path
from threading import Lock

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from efcompile.errors import TuningError

Key = tuple[str, str]
"""A task's: its kernel's name and its shape as text."""
Vector = tuple[tuple[str, int], ...]
"""Knobs by path, sorted."""


class Entry(BaseModel):
    """One trial.  `seconds` is None for one that failed, and `failure` says why; under emulation
    it is instructions times 1e-9."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kernel: str
    shape: str
    knobs: dict[str, int]
    seconds: float | None = Field(gt=0, allow_inf_nan=False)
    error: float | None = None
    failure: str = ""
    device: str
    date: str = Field(default_factory=lambda: today.today().isoformat())

    @property
    def key(self) -> Key:
        """Whose trial it is."""
        return self.kernel, self.shape


def vector(knobs: Mapping[str, int]) -> Vector:
    """`knobs` as a key."""
    return tuple(sorted(knobs.items()))


@dataclass
class Journal:
    """The trials in the file `path`, by task and knobs; safe to add to from several threads."""

    path: Path
    entries: dict[Key, dict[Vector, Entry]] = field(default_factory=dict)
    _cut_short: bool = False
    _lock: Lock = field(default_factory=Lock)

    @classmethod
    def open(cls, path: Path) -> "Journal":
        """Read what is there.  A damaged line, such as the last one of a machine that lost its
        power, is passed over with one warning; the rest keep their meaning."""
        journal = cls(path)
        text = path.read_bytes().decode("utf-8", "replace") if path.exists() else ""
        # A line cut short must not swallow the next one.
        journal._cut_short = bool(text) and not text.endswith("\n")
        damaged = []
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            try:
                entry = Entry.model_validate(json.loads(line))
            except (ValueError, ValidationError):
                damaged.append(number)
                continue
            journal.entries.setdefault(entry.key, {})[vector(entry.knobs)] = entry
        if damaged:
            numbers = ", ".join(map(str, damaged))
            warnings.warn(
                f"{path}: passed over damaged trials in line {numbers}; the rest is used",
                stacklevel=2,
            )
        return journal

    def add(self, entry: Entry) -> None:
        """Keep `entry`, on disk before this returns.

        Raises `TuningError` if it cannot be written.
        """
        with self._lock:
            line = ("\n" if self._cut_short else "") + entry.model_dump_json() + "\n"
            try:
                self._append(line)
            except OSError as error:
                raise TuningError(
                    f"{self.path}: cannot keep a trial ({error.strerror}); mend that and run "
                    "again: trials that ended before are kept"
                ) from error
            self._cut_short = False
            self.entries.setdefault(entry.key, {})[vector(entry.knobs)] = entry

    def _append(self, line: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def of(self, key: Key) -> dict[Vector, Entry]:
        """All trials of one task by their knobs."""
        with self._lock:
            return dict(self.entries.get(key, {}))
