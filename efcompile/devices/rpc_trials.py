"""Trials over TVM's RPC: a library and its data are uploaded once a session, and called.

A session is a process on the device.  A candidate that crashes ends it, one that hangs ends with
it; either costs that candidate, and a new session does the rest.
"""

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from efcompile.bundle.trials import (
    ENTRY,
    STATUSES,
    Outcome,
    Trial,
    TrialLibrary,
    TrialSettings,
    entry_settings,
    link_trial_library,
)
from efcompile.devices.device import Watch
from efcompile.devices.rpc_session import Session, SessionLost
from efcompile.errors import DeviceError
from efcompile.targets.target import Target

if TYPE_CHECKING:
    from efcompile.devices.rpc import Rpc

_CAPACITY = 1024
"""Most samples of a candidate."""
_SETUP = 30.0
_SLOWEST_UPLOAD = 1e6
"""Seconds for opening a session, and the bytes a second that any network brings."""


def measure_there(
    device: "Rpc",
    trials: Sequence[Trial],
    target: Target,
    settings: TrialSettings,
    *,
    interleaved: bool,
    watch: Watch,
) -> list[Outcome]:
    """See `TrialDevice.measure_trials`."""
    if not trials:
        return []
    with tempfile.TemporaryDirectory(prefix="efcompile-trials-") as folder:
        library = link_trial_library(trials, target, Path(folder))
        batch = _Batch(device, library, len(trials), target, settings, watch)
        try:
            if interleaved:
                batch.in_turns()
            else:
                batch.one_by_one()
        finally:
            batch.close()
    return [batch.outcomes[i] for i in range(len(trials))]


@dataclass
class _Batch:
    device: "Rpc"
    library: TrialLibrary
    count: int
    target: Target
    settings: TrialSettings
    watch: Watch
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    pace: float = 1.0
    """Seconds that a candidate takes all in all: the longest so far, and a half more."""
    loaded: "_Loaded | None" = None

    def one_by_one(self) -> None:
        """Every trial from the first to the last."""
        settings = entry_settings(self.settings)
        for i in range(self.count):
            result = self._attempt(i, settings, self.count - i)
            outcome = result if isinstance(result, Outcome) else self._outcome(*result)
            self._keep(i, outcome)

    def in_turns(self) -> None:
        """Rounds in which every trial gives one value, the median of a few samples."""
        rounds = max(1, self.settings.least)
        short = replace(self.settings, seconds=self.settings.seconds / rounds, least=1)
        settings = entry_settings(short)
        values: dict[int, list[float]] = {i: [] for i in range(self.count)}
        errors = dict.fromkeys(values, 0.0)
        for round_ in range(rounds):
            order = list(values)
            first = round_ % max(1, len(order))
            for i in order[first:] + order[:first]:
                result = self._attempt(i, settings, (rounds - round_) * len(order))
                if isinstance(result, Outcome) or not result[1]:
                    found = result if isinstance(result, Outcome) else self._outcome(*result)
                    self._keep(i, found)
                    del values[i]
                else:
                    errors[i] = max(errors[i], result[0], key=_worst)
                    values[i].append(median(result[1]))
        for i, each in values.items():
            self._keep(i, self._outcome(errors[i], each))

    def close(self) -> None:
        """End the session."""
        if self.loaded is not None:
            self.loaded.session.close()
            self.loaded = None

    def _attempt(
        self, index: int, settings: Any, ahead: int
    ) -> "tuple[float, list[float]] | Outcome":
        """Error and samples of a trial, or the outcome of one that failed.

        Raises `DeviceError` when the device is gone.
        """
        while True:
            fresh = self.loaded is None
            loaded = self.loaded or self._load(ahead)
            start = time.monotonic()
            try:
                result = loaded.measure(index, settings, self.settings.timeout)
            except SessionLost as error:
                self.close()
                took = time.monotonic() - start
                late = took >= 0.95 * self.settings.timeout
                if error.expired and not fresh and not late:
                    continue  # the session's time was over, not the candidate's
                # That a new session can be had tells a crash from a device that went away.
                self._load(ahead)
                if error.expired or late:
                    return self._failed(f"did not end within {self.settings.timeout:g} s")
                return self._failed(f"crashed the process that ran it ({error})")
            except DeviceError as error:
                return self._failed(f"the TVM there raised: {error}")
            self.pace = max(self.pace, 1.5 * (time.monotonic() - start))
            return result if isinstance(result, tuple) else self._failed(result)

    def _load(self, ahead: int) -> "_Loaded":
        """A session with time for its first candidate to hang and for the others at the pace."""
        size = self.library.blob.stat().st_size
        setup = _SETUP + size / _SLOWEST_UPLOAD
        seconds = setup + self.settings.timeout + ahead * self.pace
        session = self.device.session(seconds)
        try:
            self.device.accept(self.target, session)
            self.loaded = _Loaded(session, self.library)
        except SessionLost as error:
            session.close()
            raise DeviceError(
                f"the RPC session with {session.address} ended while {size / 1e6:.1f} MB were "
                f"uploaded ({error}): check the connection and the space there"
            ) from error
        except BaseException:
            session.close()
            raise
        return self.loaded

    def _outcome(self, error: float, samples: Sequence[float]) -> Outcome:
        return Outcome(tuple(samples), "ns", self.device.kind(), error, "", self._name())

    def _failed(self, why: str) -> Outcome:
        return Outcome((), "ns", self.device.kind(), math.nan, why, self._name())

    def _name(self) -> str:
        return f"{self.device.name} {self.device.where}"

    def _keep(self, index: int, outcome: Outcome) -> None:
        self.outcomes[index] = outcome
        self.watch(index, outcome)


class _Loaded:
    """A session that has the library and its data."""

    def __init__(self, session: Session, library: TrialLibrary) -> None:
        self.session = session
        module = session.load(library.library)
        self._function = session.function(module, ENTRY)
        self._blob = session.tensor(np.fromfile(library.blob, np.uint8))
        self._samples = session.zeros((_CAPACITY,), "float64")
        self._settings: tuple[bytes, Any] = (b"", None)

    def measure(self, index: int, settings: Any, timeout: float) -> tuple[float, list[float]] | str:
        """Error and nanoseconds of a call; or why not."""
        key = settings.tobytes()
        if self._settings[0] != key:
            self._settings = (key, self.session.tensor(settings))
        there = self._settings[1]
        self.session.limit(timeout)
        taken = self.session.call(self._function, index, self._blob, there, self._samples)
        if taken < 0:
            return STATUSES.get(taken, f"status {taken}")
        self.session.limit(0)
        samples = self.session.fetch(self._samples)
        if taken >= _CAPACITY:
            raise DeviceError(f"{taken} samples, where {_CAPACITY - 1} fit")
        return float(samples[0]), [float(value) for value in samples[1 : 1 + taken]]


def _worst(error: float) -> float:
    return math.inf if math.isnan(error) else error
