"""A tuning run: measure what is there, search where it costs most, accept what wins again."""

import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from efcompile import tvm_api
from efcompile.bundle.trial import Outcome, TrialSettings
from efcompile.devices.device import TrialDevice
from efcompile.errors import DeviceError, TuningError
from efcompile.kernels.knob_source import SHIPPED, KnobSource
from efcompile.kernels.knobs import flatten, with_values
from efcompile.kernels.tuned import Split, TargetClass, Winner, Winners
from efcompile.kernels.tuning_records import related_winners, winners_file
from efcompile.lowering.parts import signature
from efcompile.targets.target import Target
from efcompile.tuning.acceptance import decide
from efcompile.tuning.bench import Bench, Candidate, seconds
from efcompile.tuning.board import Board, Watch
from efcompile.tuning.contender import Contender
from efcompile.tuning.cost_model import KnobCostModel
from efcompile.tuning.database import Database, open_database
from efcompile.tuning.fusion import chain_of, contestants, judge_fusion
from efcompile.tuning.journal import Journal, Key
from efcompile.tuning.progress import Progress, TaskState
from efcompile.tuning.scheduler import tune_tasks
from efcompile.tuning.search import Builder, Runner, Trials
from efcompile.tuning.space import KnobSpace, Values, identify, knob_space
from efcompile.tuning.task import Task

HEAVIEST = 10
"""Tasks that are tuned, if nobody says."""
ROUNDS = 40
"""Rounds, at least, of that."""
MOST = 2
"""How many times its even share of the trials one task may get."""
CLOSE = 1.05
"""The parts of a fused op are tuned too if they take no more than so many times its time."""
BATCH = 8
"""Candidates proposed at a time for each device."""


@dataclass(frozen=True)
class Tuning:
    """What a run found: `winners` (those that won again, not yet kept), the `tasks`' last states,
    the `trials` done, whether it was `stopped` early, its `seconds`, and the `folder` of its
    records."""

    winners: Winners
    tasks: tuple[TaskState, ...]
    trials: int
    stopped: bool
    seconds: float
    folder: Path


def silent(progress: Progress) -> None:
    """A watcher that does not care."""


def tune(
    tasks: Sequence[Task],
    device: TrialDevice,
    *,
    target: Target,
    trials: int,
    work_dir: Path,
    settings: TrialSettings,
    knobs: KnobSource = SHIPPED,
    heaviest: int = HEAVIEST,
    watch: Watch = silent,
    stop: threading.Event | None = None,
) -> Tuning:
    """Search better knobs for the `heaviest` of `tasks` on `device`, in `trials` trials, those
    that `work_dir` holds of these tasks included.

    It starts from the winners that `work_dir` has, else the knobs that `knobs` gives, and tries
    early what won on related targets.  Once `stop` is set it ends with the batch at hand, and what
    was found counts.  Raises `TuningError` when there is nothing to tune, and `DeviceError` when
    the device is gone or cannot run the kernels as they are; every finished trial is in the
    journal then.  `TuningError` too if `work_dir` cannot be written.
    """
    if not tasks:
        raise TuningError("this model has no kernel with knobs to tune")
    if trials < 1 or heaviest < 1:
        raise TuningError(f"nothing to do in {trials} trials of {heaviest} tasks: ask for some")
    _check_writable(work_dir)
    cost_model = KnobCostModel()
    stop = stop or threading.Event()
    board = Board(device, trials, watch)
    with tempfile.TemporaryDirectory(prefix="efcompile-tune-") as scratch:
        bench = Bench(device, target, settings, Path(scratch))
        return _Run(bench, board, knobs, work_dir, stop, cost_model).all(tasks, heaviest, trials)


class _Run:
    def __init__(
        self,
        bench: Bench,
        board: Board,
        knobs: KnobSource,
        work_dir: Path,
        stop: threading.Event,
        cost_model: KnobCostModel,
    ) -> None:
        self._bench, self._board, self._knobs = bench, board, knobs
        self._work_dir, self._stop, self._cost_model = work_dir, stop, cost_model

    def all(self, tasks: Sequence[Task], heaviest: int, trials: int) -> Tuning:
        self._board.begin("what is there")
        contenders, outcomes = self._baseline(tasks)
        kind, unit = outcomes[0].kind, outcomes[0].unit
        file = winners_file(self._work_dir, kind, self._bench.target, unit)
        folder = file.parent
        if file.exists():  # which could not be known before the device said what it is
            self._knobs = self._with(Winners.load(file))
            contenders, _ = self._baseline(tasks)
        related = related_winners(self._work_dir, kind, self._bench.target)
        chosen = contenders[:heaviest]
        self._board.show([(one.task, one.cost) for one in chosen], unit)
        searched = [*chosen, *self._rivals(chosen)]
        records = _records(folder, self._bench.settings.threads)
        with open_database(records) as database:
            journal = Journal.open(records / "trials.jsonl")
            self._remember(journal, database, searched)
            self._search(journal, database, searched, related, trials, records)
            finalists = [one.finalists(database.history(one.task)) for one in searched]
        self._board.begin("the best once more, in turns")
        winners = [
            found
            for one, best in zip(searched, finalists, strict=True)
            if (found := self._confirm(one, best, unit))
        ]
        base = Winners(
            target=TargetClass.of(self._bench.target),
            device=self._bench.device.name,
            kind=kind,
            threads=self._bench.settings.threads,
            versions=tvm_api.installed_versions(),
            winners=tuple(winners),
        )
        self._board.begin("fused or apart")
        splits = judge_fusion(
            [one.task for one in chosen], self._bench, self._with(base), self._stop
        )
        used = {one.task.key for one in chosen} | _parts_used(chosen, splits)
        winners = [winner for winner in winners if (winner.kernel, winner.shape) in used]
        self._board.begin("done")
        return Tuning(
            base.model_copy(update={"splits": splits, "winners": tuple(winners)}),
            self._board.states,
            self._board.trials,
            self._stop.is_set(),
            self._board.seconds,
            folder,
        )

    def _with(self, winners: Winners) -> KnobSource:
        """The knobs as they are once `winners` are kept."""
        return KnobSource((winners, *self._knobs.records), self._knobs.shipped)

    def _start(self, task: Task, space: KnobSpace) -> dict[str, int]:
        """The knobs in use, on the paths that are searched and those where they differ from the
        analytic ones."""
        now = flatten(self._knobs(task.kernel, task.shape, task.target))
        analytic = flatten(task.default)
        return {p: v for p, v in now.items() if p in space.values or v != analytic[p]}

    def _baseline(self, tasks: Sequence[Task]) -> tuple[list[Contender], list[Outcome]]:
        """Every task with its cost as it is, heaviest first, and the outcomes."""
        spaces = [knob_space(task) for task in tasks]
        starts = [self._start(task, space) for task, space in zip(tasks, spaces, strict=True)]
        compiled = self._bench.compile(list(zip(tasks, starts, strict=True)))
        candidates = []
        for task, start, (_, code) in zip(tasks, starts, compiled, strict=True):
            if isinstance(code, str):
                raise TuningError(f"{task.name}, as it is without tuning: {code}")
            candidates.append(Candidate(task, start, code))
        outcomes = self._bench.measure(candidates)
        found = []
        for task, space, start, outcome in zip(tasks, spaces, starts, outcomes, strict=True):
            if outcome.failure:
                raise DeviceError(
                    f"{self._bench.device.name} cannot run {task.name} as it is without tuning: "
                    f"{outcome.failure}. `efcompile devices doctor` may tell why"
                )
            found.append(Contender(task, space, start, seconds(outcome) * 1e9))
        found.sort(key=lambda one: -one.task.times * one.cost)
        return found, outcomes

    def _rivals(self, chosen: Sequence[Contender]) -> list[Contender]:
        """The parts of the fused ops among `chosen` that are not much slower apart, as they are:
        with better knobs they may win."""
        found: dict[Key, Task] = {}
        for one in chosen:
            links = chain_of(one.task)
            pair = contestants(one.task, links, self._bench, self._knobs) if links else None
            if pair is None or self._stop.is_set():
                continue
            fused, apart = self._bench.measure_trials(pair)
            if fused.failure or apart.failure or seconds(apart) > CLOSE * seconds(fused):
                continue
            found |= {link.task.key: link.task for link in links}
        known = {one.task.key for one in chosen}
        new = [
            task
            for key, task in found.items()
            if key not in known and task.kernel.choices(task.shape, task.target)
        ]
        return self._baseline(new)[0] if new else []

    def _remember(self, journal: Journal, database: Database, chosen: Sequence[Contender]) -> None:
        """Put the knobs it starts with, and trials that a killed run left in the journal alone,
        into the database: the search goes on from there."""
        for one in chosen:
            known = {
                one.space.vector(values)
                for values, _ in database.history(one.task)
                if one.space.covers(values)
            }
            if one.space.covers(one.start) and one.space.vector(one.start) not in known:
                database.commit(database.record(one.task, one.start, one.cost * 1e-9, one.space))
                known.add(one.space.vector(one.start))
            for entry in journal.of(one.task.key).values():
                self._board.count(entry)
                if one.space.covers(entry.knobs) and one.space.vector(entry.knobs) not in known:
                    database.commit(
                        database.record(one.task, entry.knobs, entry.seconds, one.space)
                    )

    def _search(
        self,
        journal: Journal,
        database: Database,
        chosen: Sequence[Contender],
        related: Sequence[Winners],
        trials: int,
        folder: Path,
    ) -> None:
        left = trials - self._board.trials
        if left <= 0 or self._stop.is_set():
            return
        self._board.begin("searching", searching=True)
        by_key = {one.task.key: one.task for one in chosen}
        trying = Trials(self._bench, journal, by_key, self._board.count)
        tune_tasks(
            [one.space for one in chosen],
            [float(one.task.times) for one in chosen],
            trials=left,
            per_task=MOST * -(-trials // len(chosen)),
            batch=BATCH * self._board.devices,
            starts={one.task.key: one.starts(related) for one in chosen},
            builder=Builder(trying, identify),
            runner=Runner(trying),
            database=database,
            cost_model=self._cost_model,
            stop=self._stop,
            log=folder / "metaschedule.log",
        )

    def _confirm(self, one: Contender, finalists: Sequence[Values], unit: str) -> Winner | None:
        """Those of the `finalists` that win over the start in turns, if any do."""
        wanted = [one.start, *finalists]
        compiled = self._bench.compile([(one.task, values) for values in wanted])
        built = [
            Candidate(one.task, values, code)
            for values, (_, code) in zip(wanted, compiled, strict=True)
            if not isinstance(code, str)
        ]
        if not finalists or len(built) < 2 or built[0].values is not one.start:
            self._board.decide(one.task, one.cost, one.cost, "default kept")
            return None
        runs = self._bench.contest([self._bench.trial(each) for each in built], ROUNDS)
        decision = decide(runs)
        if decision.candidate is None:
            cost = one.cost if runs[0][0].failure else decision.start
            self._board.decide(one.task, cost, cost, "default kept")
            return None
        self._board.decide(one.task, decision.start, decision.best, "accepted")
        kernel, shape = one.task.key
        values = built[1 + decision.candidate].values
        return Winner(
            kernel=kernel,
            shape=shape,
            knobs=flatten(with_values(one.task.default, values)),
            start=decision.start,
            best=decision.best,
            unit=unit,
            date=date.today().isoformat(),
        )


def _check_writable(work_dir: Path) -> None:
    """Raise `TuningError` now, and not after minutes of measuring."""
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=work_dir):
            pass
    except OSError as error:
        raise TuningError(
            f"{work_dir}: records cannot be written there ({error.strerror}); give another folder"
        ) from error


def _records(folder: Path, threads: int) -> Path:
    """Where trials of so many threads are: times of other numbers cannot be compared with them."""
    return folder if threads == 1 else folder / f"{threads}-threads"


def _parts_used(chosen: Sequence[Contender], splits: Sequence[Split]) -> set[Key]:
    """The kernels of fused ops that are better apart."""
    paying = {split.signature for split in splits if split.pays}
    return {
        link.task.key
        for one in chosen
        if signature(one.task.call) in paying
        for link in chain_of(one.task)
    }
