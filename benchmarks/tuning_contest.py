"""One kernel searched twice, in our space and in MetaSchedule's own, and the best side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.stock_tuning import POPULATION, CostModel, Found, search, stock_job
from efcompile.bundle.trial import Trial, TrialSettings
from efcompile.devices.device import TrialDevice
from efcompile.kernels.knob_source import KnobSource
from efcompile.kernels.knobs import with_values
from efcompile.tuning.bench import Bench
from efcompile.tuning.compile import Job, compile_all
from efcompile.tuning.task import Task
from efcompile.tuning.trials import Data, Stage, make_trial
from efcompile.tuning.tuner import Tuning, tune

ROUNDS = 30

ANALYTIC = KnobSource(shipped=False)
"""Both searches start from nothing that was measured before."""


@dataclass(frozen=True)
class Contest:
    """What came of a task: both searches, and nanoseconds of calls by contestant, one per round
    of the last run, in which all took turns.  There is no ``stock`` if none of its candidates
    worked; ``tuned`` are the default's knobs if none were better."""

    task: Task
    stock: Found
    ours: Tuning
    ns: Mapping[str, tuple[float, ...]]


def contest(
    task: Task,
    device: TrialDevice,
    settings: TrialSettings,
    trials: int,
    folder: Path,
    model: CostModel,
    population: int = POPULATION,
) -> Contest:
    """Search both spaces for `task`, so many trials each, and time the best of each with our
    default; `population` is `search`'s.  Raises `RuntimeError` if one of them fails then."""
    stock = search(task, device, settings, trials, folder / "stock", model, population)
    ours = tune(
        [task],
        device,
        target=task.target,
        trials=trials,
        work_dir=folder / "ours",
        settings=settings,
        knobs=ANALYTIC,
        heaviest=1,
    )
    tuned = [with_values(task.default, winner.knobs) for winner in ours.winners.winners]
    jobs = {
        "default": Job(task.kernel, task.shape, task.target, task.default),
        "tuned": Job(task.kernel, task.shape, task.target, tuned[0] if tuned else task.default),
    }
    if stock.module is not None:
        jobs["stock"] = stock_job(task, stock.module)
    bench = Bench(device, task.target, settings, folder)
    wanted = [_trial(name, task, job, folder / "best" / name) for name, job in jobs.items()]
    outcomes = dict(zip(jobs, bench.contest(wanted, ROUNDS)[0], strict=True))
    for name, outcome in outcomes.items():
        if outcome.failure:
            raise RuntimeError(f"{task.name}, {name}: {outcome.failure}")
    return Contest(task, stock, ours, {name: found.values for name, found in outcomes.items()})


def _trial(name: str, task: Task, job: Job, folder: Path) -> Trial:
    (code,) = compile_all([job], [folder])
    if isinstance(code, str):
        raise RuntimeError(f"{task.name}, {name}: {code}")
    stage = Stage(job.kernel, job.shape, job.knobs, task.call, code)
    return make_trial(name, [stage], *Data(task.call).get())
