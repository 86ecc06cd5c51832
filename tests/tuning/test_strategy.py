"""A search by itself, asked for batches as MetaSchedule's scheduler does."""

import logging
import sys
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from efcompile import tvm_api
from efcompile.tuning.cost_model import KnobCostModel
from efcompile.tuning.frontier import Frontier
from efcompile.tuning.guard import Guard
from efcompile.tuning.space import identify, knob_space, values_of, workload
from efcompile.tuning.strategy import knob_context
from efcompile.tuning.task import Task
from tests.tuning.toy import task


@dataclass
class _Budget:
    rooms: list[int]
    spent: list[int] = field(default_factory=list)

    def room(self) -> int:
        return self.rooms.pop(0)

    def spend(self, count: int) -> None:
        self.spent.append(count)


def _search(which: Task, frontier: Frontier, budget: _Budget) -> Any:
    logger = logging.getLogger("silent")
    logger.setLevel(logging.CRITICAL)
    context = knob_context(frontier, budget, seed=1, log=logger, guard=Guard())
    model = tvm_api.meta_schedule_part("cost_model.PyCostModel", KnobCostModel())
    context.search_strategy._initialize_with_tune_context(context)  # as the scheduler does
    database = tvm_api.meta_schedule().database.MemoryDatabase()
    context.pre_tuning(100, 8, database=database, cost_model=model)
    return context


def test_batches_hold_what_there_is_room_for() -> None:
    which, budget = task(), _Budget([8, 3, 0])
    frontier = Frontier(knob_space(which), Random(0), [knob_space(which).start])
    context = _search(which, frontier, budget)
    batches = [context.generate_measure_candidates() for _ in range(3)]
    assert [len(batch) for batch in batches[:2]] == [8, 3]
    assert batches[2] is None
    assert budget.spent == [8, 3]
    vectors = []
    for candidate in [*batches[0], *batches[1]]:
        key, values = identify(candidate.sch.mod)
        assert key == which.key
        assert values_of(candidate.sch.trace) == values
        assert frontier.space.legal(values)
        vectors.append(frontier.space.vector(values))
    assert vectors[0] == frontier.space.vector(frontier.space.start)
    assert len(set(vectors)) == 11
    context.post_tuning()


def test_the_rest_of_a_space_fills_the_last_batch() -> None:
    which = task(choices={"tile.rows": [2, 3], "tasks": [1, 2, 4]})
    budget = _Budget([4, 4, 4])
    frontier = Frontier(knob_space(which), Random(0))
    context = _search(which, frontier, budget)
    assert len(context.generate_measure_candidates()) == 4
    assert len(context.generate_measure_candidates()) == 2
    assert context.generate_measure_candidates() is None
    context.post_tuning()


def test_a_context_does_not_import_the_tensor_intrinsics(monkeypatch: pytest.MonkeyPatch) -> None:
    # Importing them parses TVMScript for many CPU-seconds; now it would fail.
    monkeypatch.setitem(sys.modules, "tvm.s_tir.tensor_intrin", None)
    which = task()
    context = _search(which, Frontier(knob_space(which), Random(0)), _Budget([8]))
    assert len(context.generate_measure_candidates()) == 8
    with pytest.raises(ImportError, match="tensor_intrin"):
        tvm_api.meta_schedule().TuneContext(workload(which))
