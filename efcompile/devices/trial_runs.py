"""Measuring a linked batch of trials to its end, whatever single ones of them do.

For devices that start the program of `bundle.trials`: here, or on a phone.
"""

import json
import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from efcompile.bundle.trials import Outcome, TrialSettings, program_options
from efcompile.devices.device import Watch
from efcompile.errors import DeviceError

Launch = Callable[[Sequence[str], float], Generator[str, None, None]]
"""Starts the program with these options and yields its lines as they come, whole ones only.
Raises `ProgramEnded` when it crashed, or was ended for not writing one for so many seconds, and
`DeviceError` when it refused to work or the device is gone.  Closing it ends the program."""


class ProgramEnded(Exception):
    """The program ended before its work was done; the message says how: ``ended by signal ...``.

    Not for users: it becomes a candidate's failure.
    """


def run_trials(
    launch: Launch,
    count: int,
    settings: TrialSettings,
    cores: str | None,
    device: str,
    *,
    interleaved: bool,
    watch: Watch,
) -> list[Outcome]:
    """One outcome for each of the program's `count` trials, in order.

    The program is started again behind a trial that crashed it or hung.  Where trials take
    turns, each runs alone first in that case, to find out which one it was.  Raises
    `DeviceError` when `launch` does, or the program says what it should not.
    """
    batch = _Batch(launch, count, settings, cores, device, watch)
    if interleaved:
        batch.in_turns()
    else:
        batch.one_by_one(settings)
    return [batch.outcomes[i] for i in range(count)]


@dataclass
class _Batch:
    launch: Launch
    count: int
    settings: TrialSettings
    cores: str | None
    device: str
    watch: Watch
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def one_by_one(self, settings: TrialSettings) -> None:
        """Every trial from the first to the last."""
        first = 0
        while first < self.count:
            options = ["--first", str(first), *program_options(settings, self.cores)]
            try:
                with closing(self.launch(options, settings.timeout)) as lines:
                    for line in lines:
                        first = self._keep(line, at_least=first) + 1
            except ProgramEnded as end:
                self._fail(first, str(end))
                first += 1
            else:
                if first < self.count:
                    raise DeviceError(f"{self.device}: the program said nothing of trial {first}")

    def in_turns(self) -> None:
        """All trials side by side, without those that cannot run at all."""
        try:
            self._turns()
        except ProgramEnded as end:
            alone = _Batch(self.launch, self.count, self.settings, self.cores, self.device, _mute)
            alone.one_by_one(replace(self.settings, warmup=0, seconds=0.0, least=1))
            guilty = {i: each.failure for i, each in alone.outcomes.items() if each.failure}
            # Without a culprit, it is something that they only do together.
            for i in guilty or range(self.count):
                self._fail(i, guilty.get(i, str(end)))
            if len(self.outcomes) < self.count:
                try:
                    self._turns()
                except ProgramEnded as again:
                    for i in set(range(self.count)) - set(self.outcomes):
                        self._fail(i, str(again))

    def _turns(self) -> None:
        left = self.count - len(self.outcomes)
        skipped = ",".join(map(str, sorted(self.outcomes)))
        options = ["--interleave", *(["--skip", skipped] if skipped else [])]
        options += program_options(self.settings, self.cores)
        with closing(self.launch(options, left * self.settings.timeout)) as lines:
            for line in lines:
                self._keep(line, at_least=0)
        if len(self.outcomes) < self.count:
            raise DeviceError(f"{self.device}: the program did not tell of all trials")

    def _keep(self, line: str, at_least: int) -> int:
        """What a line says of a trial; returns which one."""
        index, outcome = parse_line(line, self.device)
        if not at_least <= index < self.count or index in self.outcomes:
            raise DeviceError(f"{self.device}: the program told of trial {index} out of turn")
        self.outcomes[index] = outcome
        self.watch(index, outcome)
        return index

    def _fail(self, index: int, how: str) -> None:
        self.outcomes[index] = outcome = failed(how, self.device)
        self.watch(index, outcome)


def failed(how: str, device: str) -> Outcome:
    """The outcome of a trial that a device which measures times could not measure."""
    return Outcome((), "ns", "measured", math.nan, how, device)


def parse_line(line: str, device: str) -> tuple[int, Outcome]:
    """A line of the program: a trial's position, and its outcome in measured nanoseconds.

    Raises `DeviceError` for a line that is none of the program's.
    """
    try:
        said: dict[str, Any] = json.loads(line)
        index = int(said["trial"])
        if "failure" in said:
            return index, failed(str(said["failure"]), device)
        values = tuple(float(value) for value in said["samples"])
        return index, Outcome(values, "ns", "measured", float(said["error"]), "", device)
    except (ValueError, TypeError, KeyError) as error:
        raise DeviceError(
            f"{device}: cannot make sense of {line[:200]!r}, which should be a trial's result"
        ) from error


def _mute(trial: int, outcome: Outcome) -> None:
    """Runs that only look for a culprit are not told of."""
