"""Children of traces."""

from random import Random

import pytest

from efcompile import tvm_api
from efcompile.tuning.frontier import Frontier
from efcompile.tuning.mutator import KnobMutator
from efcompile.tuning.space import KnobSpace, forced_schedule, knob_space, values_of, workload
from tests.tuning.toy import task


def _steps(space: KnobSpace, one: dict[str, int], other: dict[str, int]) -> int:
    return sum(
        abs(choices.index(one[path]) - choices.index(other[path]))
        for path, choices in space.values.items()
    )


def test_children_grow_from_the_trace_and_from_the_best_measured() -> None:
    frontier = Frontier(knob_space(task()), Random(0))
    space = frontier.space
    given = {"tile.rows": 9, "tile.panel": 8, "tasks": 256}
    best = {"tile.rows": 5, "tile.panel": 40, "tasks": 16}
    trace = forced_schedule(space, given).trace
    mutator = tvm_api.meta_schedule_part("mutator.PyMutator", KnobMutator(frontier))

    def children() -> list[dict[str, int]]:
        return [values_of(child) for _ in range(100) if (child := mutator.apply(trace))]

    def near(parent: dict[str, int]) -> int:
        return sum(0 < _steps(frontier.space, child, parent) <= 2 for child in children())

    assert near(best) < 10 < 40 < near(given)
    frontier.learn(best, 1e-6)
    assert min(near(best), near(given)) > 10
    assert best not in children()


def test_there_is_no_child_when_nothing_is_left() -> None:
    frontier = Frontier(knob_space(task(choices={"tasks": [1, 2]})), Random(0))
    space = frontier.space
    trace = forced_schedule(space, {"tasks": 1}).trace
    frontier.hand_out({"tasks": 1})
    frontier.hand_out({"tasks": 2})
    assert KnobMutator(frontier).apply(trace, 1) is None


@pytest.mark.parametrize(
    "name", ["MutateTileSize", "MutateUnroll", "MutateParallel", "MutateComputeLocation"]
)
def test_the_stock_mutators_do_nothing_to_knobs(name: str) -> None:
    ms, space = tvm_api.meta_schedule(), knob_space(task())
    module = workload(space.task)
    mutator = getattr(ms.mutator, name)(*([16] if name == "MutateParallel" else []))
    frontier = Frontier(space, Random(0))
    generator = ms.space_generator.ScheduleFn(
        lambda schedule: None, sch_rules=[], postprocs=[], mutator_probs={mutator: 1.0}
    )
    context = tvm_api.tune_context(
        module, space.task.target, generator, None, name="toy", seed=1, log=None
    )
    mutator._initialize_with_tune_context(context)
    trace = forced_schedule(frontier.space, space.start).trace
    assert [mutator.apply(trace) for _ in range(10)] == [None] * 10
