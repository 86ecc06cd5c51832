"""Trials under the emulator: exact instructions of a call."""

import math
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from efcompile import tvm_api
from efcompile.bundle.cpu_features import required_features
from efcompile.bundle.trials import Outcome, Trial, TrialProgram, link_trials
from efcompile.devices.device import Watch
from efcompile.devices.emulator import ProgramError, cpu_model, emulate, trace_marks
from efcompile.devices.plugin import build_plugin
from efcompile.devices.trial_runs import parse_line
from efcompile.errors import DeviceError
from efcompile.targets.target import Target

SLOWDOWN = 20
"""How many times the timeout of a measured trial an emulated one gets."""


def count_trials(
    trials: Sequence[Trial], target: Target, timeout: float, device: str, watch: Watch
) -> list[Outcome]:
    """See `TrialDevice.measure_trials`.  An emulator for each trial, several at the same time:
    counts do not depend on time, nor on what else runs.  `timeout` is in emulated seconds."""
    if not trials:
        return []
    build_plugin()  # not by several at once
    with tempfile.TemporaryDirectory(prefix="efcompile-trials-") as folder:
        features = required_features(target, tvm_api.enabled_features(target))
        cpu = cpu_model([feature.name for feature in features])
        program = link_trials(trials, target, Path(folder))
        listed = emulate([program.executable, program.blob, "--calls"], cpu=cpu, timeout=timeout)
        calls = [[int(word, 16) for word in line.split()] for line in listed.splitlines()]
        counter = _Counter(program, calls, cpu, timeout, device)
        found: dict[int, Outcome] = {}
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            waiting = {pool.submit(counter.count, i): i for i in range(len(trials))}
            try:
                for done in as_completed(waiting):
                    found[waiting[done]] = done.result()
                    watch(waiting[done], done.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [found[i] for i in range(len(trials))]


@dataclass(frozen=True)
class _Counter:
    program: TrialProgram
    calls: Sequence[Sequence[int]]  # addresses, of each trial's steps
    cpu: str
    timeout: float
    device: str

    def count(self, index: int) -> Outcome:
        """Instructions of one trial: from its first kernel to where a second call of it is."""
        first, *others = self.calls[index]
        options = ["--untimed", "--iterations", "2", "--first", str(index), "--count", "1"]
        command: list[str | Path] = [self.program.executable, self.program.blob, *options]
        nothing = Outcome((), "instructions", "emulated", math.nan, device=self.device)
        try:
            trace = trace_marks(command, [first], cpu=self.cpu, timeout=self.timeout)
        except ProgramError as error:
            return replace(nothing, failure=error.how)
        said, outcome = parse_line(trace.output, self.device)
        if said != index or len(trace.arrivals) != 2 * (1 + others.count(first)):
            raise DeviceError(f"{self.device}: the program did not make the calls of trial {index}")
        if outcome.failure:
            return replace(nothing, failure=outcome.failure)
        (_, begin), (_, end) = trace.arrivals[0], trace.arrivals[1 + others.count(first)]
        return replace(nothing, values=(float((end - begin).total),), error=outcome.error)
