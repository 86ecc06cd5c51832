"""Knob vectors in, costs out: compiles candidates and has a device measure them."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from efcompile.bundle.trial import Outcome, Trial, TrialSettings
from efcompile.devices.device import TrialDevice
from efcompile.kernels.kernel import Array
from efcompile.kernels.knobs import with_values
from efcompile.targets.target import Target
from efcompile.tuning.compile import Compiled, Job, compile_all
from efcompile.tuning.journal import Key
from efcompile.tuning.task import Task
from efcompile.tuning.trials import Data, Stage, make_trial

TOLERANCE = 1e-5
"""Largest error of a kernel against its op in eager, relative to the result's scale."""

_SECONDS = {"ns": 1e-9, "instructions": 1e-9}
"""What one unit is in the seconds that MetaSchedule's records are in.  An instruction is no time:
those records are kept in a folder of their own."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """Certain knobs of a task: its `values` by path, and the code."""

    task: Task
    values: Mapping[str, int]
    code: Compiled


def seconds(outcome: Outcome) -> float:
    """The median cost of one call, in the records' unit."""
    return median(outcome.values) * _SECONDS[outcome.unit]


@dataclass
class Bench:
    """Compiles into `folder` for `target` and measures on `device`."""

    device: TrialDevice
    target: Target
    settings: TrialSettings
    folder: Path
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _data: dict[Key, Data] = field(default_factory=dict)

    def compile(
        self, wanted: Sequence[tuple[Task, Mapping[str, int]]]
    ) -> list[tuple[Path, Compiled | str]]:
        """The folder of each candidate and its code there, or why there is none."""
        jobs = [
            Job(task.kernel, task.shape, self.target, with_values(task.default, values))
            for task, values in wanted
        ]
        folders = [self.folder / f"candidate-{next(self._numbers)}" for _ in jobs]
        return list(zip(folders, compile_all(jobs, folders), strict=True))

    def measure(
        self,
        candidates: Sequence[Candidate],
        watch: Callable[[int, Outcome], None] = lambda position, outcome: None,
    ) -> list[Outcome]:
        """Measure each on its own.  Wrong numbers are a failure."""
        return self.measure_trials([self.trial(one) for one in candidates], watch)

    def measure_trials(
        self,
        trials: Sequence[Trial],
        watch: Callable[[int, Outcome], None] = lambda position, outcome: None,
    ) -> list[Outcome]:
        """As `measure`, of trials that were made already."""
        return self._run(trials, self.settings, interleaved=False, watch=watch)

    def contest(self, trials: Sequence[Trial], rounds: int) -> list[list[Outcome]]:
        """Measure all in turns, `rounds` at least, with the threads of the settings; and once more
        with all of the target's cores, where that is another number and times are measured: what
        a choice of tasks brings one thread it may cost several.

        A list of outcomes, one for each trial, for each number of threads.
        """
        settings = replace(self.settings, least=rounds)
        found = [self._run(trials, settings, interleaved=True)]
        if found[0][0].kind == "measured" and self.target.cores != settings.threads:
            together = replace(settings, threads=self.target.cores)
            found.append(self._run(trials, together, interleaved=True))
        return found

    def _run(
        self,
        trials: Sequence[Trial],
        settings: TrialSettings,
        *,
        interleaved: bool,
        watch: Callable[[int, Outcome], None] = lambda position, outcome: None,
    ) -> list[Outcome]:
        found = self.device.measure_trials(
            trials,
            self.target,
            settings,
            interleaved=interleaved,
            watch=lambda position, outcome: watch(position, _judged(outcome)),
        )
        return [_judged(outcome) for outcome in found]

    def trial(self, candidate: Candidate) -> Trial:
        """The candidate with data to run on."""
        task = candidate.task
        given, expected = self.example(task)
        knobs = with_values(task.default, candidate.values)
        stage = Stage(task.kernel, task.shape, knobs, task.call, candidate.code)
        return make_trial(task.name, [stage], given, expected)

    def example(self, task: Task) -> tuple[dict[str, Array], Array]:
        """The task's operands and result (see `workload.example`), made once."""
        return self._data.setdefault(task.key, Data(task.call)).get()


def _judged(outcome: Outcome) -> Outcome:
    if outcome.failure or outcome.error <= TOLERANCE:
        return outcome
    failure = f"wrong numbers: off by {outcome.error:.1e} of the result's scale"
    return replace(outcome, values=(), failure=failure)
