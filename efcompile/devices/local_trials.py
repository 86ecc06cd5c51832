"""Trials on this machine: a program of its own on cores of its own."""

import os
import subprocess
import tempfile
import threading
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path

from efcompile.bundle.trials import Outcome, Trial, TrialProgram, TrialSettings, link_trials
from efcompile.devices.device import Watch
from efcompile.devices.lines import lines
from efcompile.devices.signals import signal_text
from efcompile.devices.trial_runs import ProgramEnded, run_trials
from efcompile.errors import DeviceError
from efcompile.targets.target import Target

_ALONE = threading.Lock()
"""Held while something is timed: threads of this process would disturb each other."""


def measure_here(
    trials: Sequence[Trial],
    target: Target,
    settings: TrialSettings,
    device: str,
    *,
    interleaved: bool,
    watch: Watch,
) -> list[Outcome]:
    """See `TrialDevice.measure_trials`."""
    if not trials:
        return []
    with tempfile.TemporaryDirectory(prefix="efcompile-trials-") as folder:
        program = link_trials(trials, target, Path(folder))
        with _ALONE:
            return run_trials(
                partial(launch, program),
                len(trials),
                settings,
                settings.cores or last_cores(settings.threads),
                device,
                interleaved=interleaved,
                watch=watch,
            )


def last_cores(threads: int) -> str:
    """The last `threads` of the cores that this process may use, as ``2,3``: the system's own
    work tends to be on the first ones."""
    return ",".join(map(str, sorted(os.sched_getaffinity(0))[-threads:]))


def launch(
    program: TrialProgram, options: Sequence[str], timeout: float
) -> Generator[str, None, None]:
    """Start `program` and yield its lines; see `trial_runs.Launch`."""
    command: list[str | Path] = [program.executable, program.blob, *options]
    with tempfile.TemporaryFile() as complaints:
        # Without an environment the stack begins at the same place for everyone.
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, env={})
        try:
            yield from lines(process, timeout)
            status = process.wait()
        except TimeoutError as error:
            raise ProgramEnded(f"did not end within {timeout:g} s") from error
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        complaints.seek(0)
        said = complaints.read().decode(errors="replace").strip()
    if status < 0:
        raise ProgramEnded(f"ended by {signal_text(-status)}")
    if status > 0:
        raise DeviceError(f"{program.executable.name} refused to work: {said or 'no message'}")
