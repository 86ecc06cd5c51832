"""Several tasks at once: MetaSchedule's gradient scheduler, which gives the next batch to the task
whose weighted time promises to fall most."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from threading import Event
from typing import Any

from efcompile import tvm_api
from efcompile.tuning.cost_model import KnobCostModel
from efcompile.tuning.database import Database
from efcompile.tuning.frontier import Frontier
from efcompile.tuning.guard import Guard
from efcompile.tuning.space import KnobSpace, Values, values_of
from efcompile.tuning.strategy import knob_context
from efcompile.tuning.task import Task

_LOGGER = "tvm.s_tir.meta_schedule"


@dataclass(frozen=True)
class Tried:
    """A candidate's end: seconds of one call (the median), or None and why it failed."""

    values: Values
    seconds: float | None
    failure: str = ""


def tune_tasks(
    spaces: Sequence[KnobSpace],
    weights: Sequence[float],
    *,
    trials: int,
    builder: Any,
    runner: Any,
    database: Database,
    per_task: int | None = None,
    batch: int = 8,
    cost_model: KnobCostModel | None = None,
    starts: Mapping[tuple[str, str], Sequence[Mapping[str, int]]] | None = None,
    on_batch: Callable[[Task, Sequence[Tried]], None] = lambda task, tried: None,
    stop: Event | None = None,
    seed: int = 0,
    log: Path | None = None,
) -> None:
    """Search `spaces`, one for each task, whose times count `weights` times, with up to `trials`
    new candidates in all (no more than `per_task` for each), `batch` at a time.

    `builder` and `runner` are MetaSchedule's (``PyBuilder``, ``PyRunner``) or plain objects with
    the same methods; `space.identify` tells what a ``BuilderInput.mod`` asks for.  While the
    runner's futures of one task are not done, other tasks' batches are built.

    The analytic default is each task's first candidate, then the knobs that `starts` holds by
    task key, each taken to the nearest vector of the space.  What `database` knows of a task
    counts as tried, is learned from, and never handed out again; new results are recorded in it
    before `on_batch` is told.  A task ends when its space is exhausted.

    Ends in order, with all results taken in, when `stop` is set.  An exception of any part, the
    builder and runner included, comes out as it was raised, and results that were complete by
    then are recorded.  MetaSchedule's log is appended to the file `log`, if one is given.
    """
    guard = Guard()
    cost_model = cost_model or KnobCostModel(seed)
    scheduler = tvm_api.meta_schedule().task_scheduler.GradientBased(seed=seed + 1)
    per_task = trials if per_task is None else per_task
    run = _Run(scheduler, guard, stop or Event(), len(spaces), trials, per_task, batch)
    frontiers = [
        _frontier(space, database, cost_model, (starts or {}).get(space.task.key, ()), seed + i)
        for i, space in enumerate(spaces)
    ]
    recorder = _Recorder(frontiers, database, cost_model, on_batch)
    with _logging(log) as logger:
        contexts = [
            knob_context(frontier, _Share(run, i), seed=seed + 2 + i, log=logger, guard=guard)
            for i, frontier in enumerate(frontiers)
        ]
        try:
            scheduler.tune(
                contexts,
                list(weights),
                trials,
                per_task,
                batch,
                guard.part("builder.PyBuilder", builder),
                guard.part("runner.PyRunner", runner),
                [guard.part("measure_callback.PyMeasureCallback", recorder)],
                database.native,
                guard.part("cost_model.PyCostModel", cost_model),
            )
        except Exception:
            if guard.error is None:
                raise
        if guard.error is not None:
            error, guard.error = guard.error, None
            # What has been measured of other tasks is worth keeping; the first error is the news.
            with suppress(Exception):
                run.take_in()
            raise error


def _frontier(
    space: KnobSpace,
    database: Database,
    cost_model: KnobCostModel,
    starts: Sequence[Mapping[str, int]],
    seed: int,
) -> Frontier:
    frontier = Frontier(space, Random(seed), [space.start, *map(dict, starts)])
    for values, seconds in database.history(space.task):
        if space.covers(values):
            frontier.learn(values, seconds)
            cost_model.learn(space.task.key, values, seconds)
    return frontier


@dataclass
class _Run:
    """The candidates all tasks may still have."""

    scheduler: Any
    guard: Guard
    stop: Event
    tasks: int
    trials: int
    per_task: int
    batch: int
    spent: dict[int, int] = field(default_factory=dict)

    def take_in(self) -> None:
        """Have the results of every task whose candidates are done recorded.  By itself the
        scheduler first sends one batch of every task."""
        for task in range(self.tasks):
            self.scheduler.touch_task(task)


@dataclass(frozen=True)
class _Share:
    """One task's part of a run (a `strategy.Budget`)."""

    run: _Run
    task: int

    def room(self) -> int:
        run = self.run
        run.take_in()
        if run.stop.is_set():
            return 0
        mine, all_tasks = run.spent.get(self.task, 0), sum(run.spent.values())
        return min(run.batch, run.per_task - mine, run.trials - all_tasks)

    def spend(self, count: int) -> None:
        self.run.spent[self.task] = self.run.spent.get(self.task, 0) + count


@dataclass(frozen=True)
class _Recorder:
    """MetaSchedule's callback for a batch's results.  The stock one would record every sample, and
    rank by their mean, where the median is wanted."""

    frontiers: Sequence[Frontier]
    database: Database
    cost_model: KnobCostModel
    on_batch: Callable[[Task, Sequence[Tried]], None]

    def apply(self, scheduler: Any, number: int, candidates: Any, built: Any, results: Any) -> None:
        frontier = self.frontiers[number]
        task = frontier.space.task
        tried = []
        for candidate, result in zip(candidates, results, strict=True):
            values = values_of(candidate.sch.trace)
            failure = str(result.error_msg) if result.error_msg is not None else ""
            seconds = None if failure else median(float(value) for value in result.run_secs)
            self.database.commit(self.database.record(task, values, seconds, frontier.space))
            frontier.learn(values, seconds)
            self.cost_model.learn(task.key, values, seconds)
            tried.append(Tried(values, seconds, failure))
        self.on_batch(task, tried)


@contextmanager
def _logging(path: Path | None) -> Iterator[logging.Logger]:
    """MetaSchedule's loggers write into the file `path`, or nowhere; by default its warnings go
    to the terminal."""
    logger = logging.getLogger(_LOGGER)
    before = logger.level, logger.propagate, list(logger.handlers)
    handler: logging.Handler = logging.NullHandler()
    if path is not None:
        handler = logging.FileHandler(path, encoding="utf-8", delay=True)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO if path is not None else logging.CRITICAL)
    try:
        yield logger
    finally:
        handler.close()
        logger.level, logger.propagate, logger.handlers = before
