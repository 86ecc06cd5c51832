"""Which sampled vectors may be measured."""

from random import Random

import pytest

from efcompile import tvm_api
from efcompile.tuning.frontier import Frontier
from efcompile.tuning.postproc import KnobFilter
from efcompile.tuning.space import knob_space, template, workload
from tests.tuning.toy import task


@pytest.mark.parametrize(
    ("values", "allowed"),
    [
        ({"tile.rows": 6, "tile.panel": 80, "tasks": 4}, True),
        ({"tile.rows": 7, "tile.panel": 80, "tasks": 4}, False),  # not legal
        ({"tile.rows": 1, "tile.panel": 8, "tasks": 1}, False),  # measured before
    ],
)
def test_illegal_and_measured_vectors_are_refused(values: dict[str, int], allowed: bool) -> None:
    frontier = Frontier(knob_space(task()), Random(0))
    frontier.learn({"tile.rows": 1, "tile.panel": 8, "tasks": 1}, 1e-6)
    schedule = tvm_api.s_tir.Schedule(workload(frontier.space.task))
    template(schedule, frontier.space, values)
    schedule.enter_postproc()
    part = tvm_api.meta_schedule_part("postproc.PyPostproc", KnobFilter(frontier))
    assert part.apply(schedule) is allowed
    text = " ".join(f"{path}={value}" for path, value in sorted(values.items()))
    assert (text in str(schedule.trace)) is allowed
