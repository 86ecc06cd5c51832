"""Trials on a phone: their program and data pushed once, results read as they come."""

import json
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from efcompile.bundle.trials import Outcome, Trial, TrialSettings, link_trials
from efcompile.devices.adb_faults import PhoneLostError, explained
from efcompile.devices.adb_folder import Folder
from efcompile.devices.device import Watch
from efcompile.devices.signals import signal_text
from efcompile.devices.trial_runs import ProgramEnded, run_trials
from efcompile.targets.target import Target

# A shell's exit status for a program that a signal ended is this plus the signal.
_SIGNALLED: Final = 128


def measure_there(
    folder: Folder,
    trials: Sequence[Trial],
    target: Target,
    settings: TrialSettings,
    cores: str | None,
    device: str,
    kind: Literal["measured", "emulated"],
    *,
    interleaved: bool,
    watch: Watch,
) -> list[Outcome]:
    """See `TrialDevice.measure_trials`; `kind` is what the phone's times are."""

    def hear(index: int, outcome: Outcome) -> None:
        watch(index, replace(outcome, kind=kind))

    with tempfile.TemporaryDirectory(prefix="efcompile-trials-") as scratch:
        program = link_trials(trials, target, Path(scratch))
        there = _Program(
            folder, folder.push(program.executable, program=True), folder.push(program.blob)
        )
        outcomes = run_trials(
            there.launch,
            len(trials),
            settings,
            cores,
            device,
            interleaved=interleaved,
            watch=hear,
        )
    return [replace(outcome, kind=kind) for outcome in outcomes]


@dataclass(frozen=True)
class _Program:
    """The trials' program in a phone's folder: the paths there."""

    folder: Folder
    executable: str
    blob: str

    def launch(self, options: Sequence[str], timeout: float) -> Generator[str, None, None]:
        """Start it and yield its lines; see `trial_runs.Launch`.

        When the phone goes away and comes back, it is started once more behind the last trial
        that it told of; trials that take turns all begin again.
        """
        if "--interleave" in options:
            yield from self.folder.resumed(lambda: list(self._started(options, timeout)))
            return
        last = ""
        try:
            for last in self._started(options, timeout):
                yield last
        except PhoneLostError:
            self.folder.connection.wait()
            self.folder.kill()
            # Of an option given twice, the second counts.
            behind = ["--first", str(json.loads(last)["trial"] + 1)] if last else []
            yield from self._started([*options, *behind], timeout)

    def _started(self, options: Sequence[str], timeout: float) -> Generator[str, None, None]:
        command = self.folder.line(self.executable, self.blob, *options)
        complaints: list[str] = []
        try:
            status = yield from _results(self.folder.connection.lines(command, timeout), complaints)
        except TimeoutError as error:
            self.folder.kill()
            raise ProgramEnded(f"did not end within {timeout:g} s") from error
        if status > _SIGNALLED:
            raise ProgramEnded(f"ended by {signal_text(status - _SIGNALLED)}")
        if status != 0:
            said = "\n".join(complaints) or f"it ended with status {status}"
            raise explained(said, "running trials on the phone")


def _results(spoken: Generator[str, None, int], complaints: list[str]) -> Generator[str, None, int]:
    """The lines that are results; all others, of the program or the phone's shell, are kept."""
    while True:
        try:
            line = next(spoken)
        except StopIteration as end:
            status: int = end.value
            return status
        if line.startswith("{"):
            yield line
        else:
            complaints.append(line)
