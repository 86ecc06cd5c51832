"""Trials on this machine: a program of its own on cores of its own."""

import os
import selectors
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from pathlib import Path

from efcompile.bundle.trials import Outcome, Trial, TrialProgram, TrialSettings, link_trials
from efcompile.devices.device import Watch
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
            yield from _lines(process, timeout)
            status = process.wait()
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


def _lines(process: subprocess.Popen[bytes], timeout: float) -> Iterator[str]:
    """Whole lines until the program closes its output."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    held = b""
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as ready:
        ready.register(descriptor, selectors.EVENT_READ)
        while True:
            if not ready.select(max(0.0, deadline - time.monotonic())):
                raise ProgramEnded(f"did not end within {timeout:g} s")
            found = os.read(descriptor, 1 << 16)
            if not found:
                return
            *whole, held = (held + found).split(b"\n")
            for line in whole:
                yield line.decode()
            if whole:
                deadline = time.monotonic() + timeout
