"""What a search has seen, and where it goes on from."""

import math
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from efcompile import tvm_api
from efcompile.targets.target import Target
from efcompile.tuning.frontier import Frontier, replay
from efcompile.tuning.space import KnobSpace, forced_schedule, knob_space, values_of, workload
from tests.tuning.toy import Knobs, task

SMALL = {"tile.rows": [2, 4, 6], "tile.panel": [16, 32], "tasks": [1, 2]}


def _frontier(space: KnobSpace | None = None) -> Frontier:
    return Frontier(space or knob_space(task()), Random(0))


def test_a_vector_is_handed_out_once() -> None:
    frontier = _frontier()
    start = frontier.space.start
    assert frontier.fresh(start)
    frontier.hand_out(start)
    assert not frontier.fresh(start)
    assert not frontier.fresh({"tile.rows": 10, "tile.panel": 80, "tasks": 1})  # not legal


def test_mutants_are_fresh_and_change_one_or_two_knobs_mostly_by_a_step() -> None:
    frontier = _frontier()
    parent = {"tile.rows": 5, "tile.panel": 40, "tasks": 16}
    changed, steps = [], 0
    for _ in range(200):
        child = frontier.mutate(parent)
        assert child is not None
        assert frontier.fresh(child)
        paths = [path for path in parent if child[path] != parent[path]]
        changed.append(len(paths))
        for path in paths:
            choices = frontier.space.values[path]
            steps += abs(choices.index(child[path]) - choices.index(parent[path])) == 1
    assert set(changed) == {1, 2}
    assert steps > 0.6 * sum(changed)


def test_strangers_are_fresh_vectors_from_anywhere() -> None:
    frontier = _frontier()
    strangers = [found for _ in range(50) if (found := frontier.stranger())]
    assert len(strangers) == 50
    assert all(frontier.fresh(values) for values in strangers)
    assert {values["tile.rows"] for values in strangers} == set(range(1, 11))


def test_strangers_are_found_where_hardly_anything_is_legal() -> None:
    # One in 300 is: drawing does not find it, walking does.
    def legal(shape: Any, target: Target, knobs: Knobs) -> bool:
        return knobs.tile.rows == 2 and knobs.tile.panel == 16 and knobs.tasks <= 4

    which = task()
    which = replace(which, kernel=replace(which.kernel, legal=legal))
    frontier = _frontier(knob_space(which))
    found = [values for _ in range(40) if (values := frontier.stranger())]
    assert {values["tasks"] for values in found} == {1, 2, 4}


def test_there_is_no_mutant_where_nothing_is_free_or_left() -> None:
    assert _frontier(knob_space(task(choices={"tasks": [1]}))).mutate({"tasks": 1}) is None
    frontier = _frontier(knob_space(task(choices={"tasks": [1, 2]})))
    frontier.hand_out({"tasks": 2})
    assert frontier.mutate({"tasks": 1}) is None


def test_parents_are_the_best_measured_and_never_failures() -> None:
    frontier = _frontier()
    assert frontier.parent() is None
    frontier.learn({"tile.rows": 1, "tile.panel": 8, "tasks": 1}, None)
    frontier.learn({"tile.rows": 2, "tile.panel": 8, "tasks": 1}, math.inf)
    assert frontier.parent() is None
    for rows in range(3, 11):
        frontier.learn({"tile.rows": rows, "tile.panel": 8, "tasks": 1}, rows * 1e-6)
    parents = [parent["tile.rows"] for _ in range(300) if (parent := frontier.parent())]
    assert set(parents) == {3, 4, 5, 6, 7, 8}
    assert parents.count(3) > parents.count(4) > parents.count(7)


def test_a_parent_from_other_choices_is_taken_to_the_nearest_vector() -> None:
    frontier = _frontier()
    frontier.learn({"tile.rows": 50, "tile.panel": 8, "tasks": 3}, 1e-6)
    assert frontier.parent() == {"tile.rows": 10, "tile.panel": 8, "tasks": 4}


@pytest.mark.parametrize("enumerable", [True, False])
def test_the_rest_is_every_vector_that_was_not_handed_out(
    enumerable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not enumerable:
        monkeypatch.setattr("efcompile.tuning.frontier._ENUMERABLE", 1)
    frontier = _frontier(knob_space(task(choices=SMALL)))
    frontier.learn(frontier.space.start, 1e-6)
    taken = []
    while rest := frontier.take_rest(4):
        assert len(rest) <= 4
        taken += [frontier.space.vector(values) for values in rest]
    assert len(set(taken)) == len(taken)
    # Around the best, a walk reaches neighbours only; going through the space reaches all.
    assert len(taken) == 11 if enumerable else 6 <= len(taken) <= 11


def test_a_replayed_trace_holds_the_vector() -> None:
    frontier = _frontier()
    space, values = frontier.space, {"tile.rows": 3, "tile.panel": 24, "tasks": 64}
    module = workload(space.task)
    trace = forced_schedule(space, space.start).trace
    changed = replay(frontier, trace, values)
    assert values_of(changed) == values
    schedule = tvm_api.s_tir.Schedule(module)
    changed.apply_to_schedule(schedule, remove_postproc=True)
    assert values_of(schedule.trace) == values
