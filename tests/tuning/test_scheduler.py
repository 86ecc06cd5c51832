"""Whole searches, of candidates whose cost is a formula."""

import logging
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from efcompile.errors import DeviceError
from efcompile.tuning.cost_model import KnobCostModel
from efcompile.tuning.database import Database, open_database
from efcompile.tuning.scheduler import Tried, tune_tasks
from efcompile.tuning.space import KnobSpace, Values, knob_space
from efcompile.tuning.task import Task
from tests.tuning.toy import Bench, seconds, task


def _search(database: Database, bench: Bench, trials: int, *spaces: KnobSpace, **how: Any) -> None:
    weights = how.pop("weights", [1.0] * len(spaces))
    tune_tasks(
        spaces, weights, trials=trials, builder=bench, runner=bench, database=database, **how
    )


def _small(m: int = 64) -> KnobSpace:
    """Twelve vectors."""
    choices = {"tile.rows": [2, 4, 6], "tile.panel": [16, 32], "tasks": [1, 2]}
    return knob_space(task(m, choices))


def test_the_search_beats_random_sampling(tmp_path: Path) -> None:
    space = knob_space(task())
    legal = [values for values in space.all() if space.legal(values)]
    assert len(legal) > 800
    optimum = min(map(seconds, legal))
    found = 0
    for seed in range(5):
        with open_database(tmp_path / str(seed)) as database:
            bench = Bench()
            _search(database, bench, 60, space, seed=seed)
            assert len(set(bench.seen)) == len(bench.seen) == 60
            assert set(bench.batches[:-1]) == {8}
            found += database.history(space.task)[0][1] == optimum
    draw = random.Random(0)
    by_chance = sum(min(map(seconds, draw.sample(legal, 60))) == optimum for _ in range(200))
    assert found >= 4
    assert by_chance / 200 < 0.15


def test_a_batch_is_proposed_in_less_than_a_second(tmp_path: Path) -> None:
    with open_database(tmp_path) as database:
        _search(database, Bench(), 24, knob_space(task()))  # imports and first fits
        began = time.process_time()
        _search(database, Bench(), 40, knob_space(task()))
    assert (time.process_time() - began) / 5 < 1.0


def test_the_default_comes_first_then_the_starts(tmp_path: Path) -> None:
    space, bench = knob_space(task()), Bench()
    starts = [
        {"tile.rows": 5, "tile.panel": 50, "tasks": 15},  # taken to 5, 48, 16
        {"tile.rows": 10, "tile.panel": 80, "tasks": 1},  # not legal
        {"tile.rows": 3},
    ]
    with open_database(tmp_path) as database:
        _search(database, bench, 8, space, starts={space.task.key: starts})
    first = [dict(values) for _, values in bench.seen[:3]]
    assert first[0] == space.start
    assert first[1] == {"tile.rows": 5, "tile.panel": 48, "tasks": 16}
    assert first[2] == {**space.start, "tile.rows": 3}
    assert len(bench.seen) == 8


def test_a_small_space_is_gone_through_to_its_end(tmp_path: Path) -> None:
    space, bench = _small(), Bench()
    with open_database(tmp_path) as database:
        _search(database, bench, 100, space)
        assert len(database.history(space.task)) == 12
        assert len(set(bench.seen)) == len(bench.seen) == 12
        # And again: nothing is left, so nothing happens.
        _search(database, bench, 100, space)
    assert len(bench.seen) == 12


def test_a_space_of_one_vector_is_that_vector(tmp_path: Path) -> None:
    space, bench = knob_space(task(choices={"tile.rows": [2]})), Bench(failing=lambda values: "no")
    with open_database(tmp_path) as database:
        _search(database, bench, 10, space)
    assert [dict(values) for _, values in bench.seen] == [{"tile.rows": 2}]


def test_an_exhausted_task_leaves_its_trials_to_the_others(tmp_path: Path) -> None:
    small, large, bench = _small(16), knob_space(task(32)), Bench()
    with open_database(tmp_path) as database:
        _search(database, bench, 40, small, large)
        assert len(database.history(small.task)) == 12
        assert len(database.history(large.task)) == 28


def test_trials_are_counted_over_all_tasks_and_for_each(tmp_path: Path) -> None:
    spaces, bench = [knob_space(task(m)) for m in (16, 32, 48)], Bench()
    with open_database(tmp_path) as database:
        _search(database, bench, 45, *spaces, per_task=20, batch=6)
        counts = [len(database.history(space.task)) for space in spaces]
    assert sum(counts) == len(bench.seen) == 45
    assert max(counts) <= 20


def test_a_heavier_task_gets_more_trials(tmp_path: Path) -> None:
    spaces, bench = [knob_space(task(m)) for m in (16, 32)], Bench()
    with open_database(tmp_path) as database:
        _search(database, bench, 96, *spaces, weights=[1.0, 9.0])
        counts = [len(database.history(space.task)) for space in spaces]
    assert counts[1] > 2 * counts[0]


def test_what_was_measured_in_an_earlier_run_is_not_measured_again(tmp_path: Path) -> None:
    space, first, second = knob_space(task()), Bench(), Bench()
    with open_database(tmp_path) as database:
        _search(database, first, 60, space, seed=1)
    with open_database(tmp_path) as database:
        _search(database, second, 60, space, seed=1)
        assert len(database.history(space.task)) == 120
    assert not set(first.seen) & set(second.seen)
    # The second run goes on from what the first found: its first batch is not random.
    costs = [seconds(dict(values)) for _, values in second.seen[:8]]
    everything = sorted(seconds(values) for values in space.all() if space.legal(values))
    assert sorted(costs)[4] < everything[len(everything) // 4]


def test_failed_candidates_are_recorded_and_not_tried_again(tmp_path: Path) -> None:
    def failing(values: Values) -> str:
        return "crashed" if values["tile.rows"] == 4 else ""

    space, bench, heard = _small(), Bench(failing), list[Tried]()

    def listen(task: Task, tried: Sequence[Tried]) -> None:
        heard.extend(tried)

    with open_database(tmp_path) as database:
        _search(database, bench, 50, space, on_batch=listen)
    with open_database(tmp_path) as database:
        _search(database, bench, 50, space)
        history = database.history(space.task)
    assert len(bench.seen) == 12
    assert sum(cost == float("inf") for _, cost in history) == 4
    assert {(one.seconds is None, one.failure) for one in heard} == {
        (False, ""),
        (True, "crashed"),
    }


def test_a_wish_to_stop_ends_the_run_with_everything_recorded(tmp_path: Path) -> None:
    spaces, stop, heard = [knob_space(task(m)) for m in (16, 32)], Event(), list[int]()

    def listen(task: Task, tried: Sequence[Tried]) -> None:
        heard.append(len(tried))
        if len(heard) == 3:
            stop.set()

    bench = Bench()
    with open_database(tmp_path) as database:
        _search(database, bench, 400, *spaces, stop=stop, on_batch=listen)
        recorded = sum(len(database.history(space.task)) for space in spaces)
    assert recorded == len(bench.seen) == sum(heard) < 60


class _Interrupting(Bench):
    """Raises when the third batch is built."""

    error: BaseException = DeviceError("the phone is gone: plug it in")

    def build(self, inputs: Sequence[Any]) -> list[Any]:
        if len(self.batches) == 2:
            raise self.error
        return super().build(inputs)


@pytest.mark.parametrize("error", [DeviceError("the phone is gone"), KeyboardInterrupt()])
def test_what_the_builder_raises_comes_out_and_results_are_kept(
    tmp_path: Path, error: BaseException
) -> None:
    spaces, bench = [knob_space(task(m)) for m in (16, 32, 48)], _Interrupting()
    bench.error = error
    with open_database(tmp_path) as database:
        with pytest.raises(type(error)) as caught:
            _search(database, bench, 400, *spaces)
        assert caught.value is error
        recorded = sum(len(database.history(space.task)) for space in spaces)
    assert recorded == len(bench.seen) == 16


def _raise(*args: Any, **keywords: Any) -> Any:
    raise ZeroDivisionError("planted")


@pytest.mark.parametrize(
    "break_it",
    [
        lambda patch: patch.setattr(KnobSpace, "legal", _raise),  # in the postprocessor
        lambda patch: patch.setattr(KnobCostModel, "scores", _raise),
        lambda patch: patch.setattr(Database, "commit", _raise),
        lambda patch: patch.setattr(Bench, "run", _raise),
        lambda patch: patch.setattr("efcompile.tuning.strategy.template", _raise),
        lambda patch: patch.setattr("efcompile.tuning.mutator.replay", _raise),
    ],
    ids=["legal", "cost model", "database", "runner", "template", "mutator"],
)
def test_what_any_part_raises_comes_out_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, break_it: Callable[[pytest.MonkeyPatch], None]
) -> None:
    break_it(monkeypatch)
    with (
        open_database(tmp_path) as database,
        pytest.raises(ZeroDivisionError, match="planted"),
    ):
        _search(database, Bench(), 40, knob_space(task()))


def test_metaschedule_logs_into_the_file_and_nowhere_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("tvm.s_tir.meta_schedule")
    before = logger.level, logger.propagate, list(logger.handlers)
    folder = tmp_path / "records"
    with open_database(folder) as database:
        # An exhausted space is what MetaSchedule warns of.
        _search(database, Bench(), 30, _small(), log=folder / "metaschedule.log")
        _search(database, Bench(), 30, _small(32))
    assert capfd.readouterr() == ("", "")
    assert "TaskScheduler picks Task #0" in (folder / "metaschedule.log").read_text()
    assert {path.name for path in folder.iterdir()} == {
        "lock",
        "metaschedule.log",
        "records.json",
        "workloads.json",
    }
    assert (logger.level, logger.propagate, logger.handlers) == before
