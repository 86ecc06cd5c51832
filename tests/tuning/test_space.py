"""Knob vectors, in and out of MetaSchedule's traces."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efcompile import tvm_api
from efcompile.errors import TuningError
from efcompile.tuning.space import (
    KnobSpace,
    forced_schedule,
    identify,
    key_of,
    knob_space,
    template,
    values_of,
    workload,
)
from tests.tuning.toy import Knobs, Tile, task

VECTORS = st.fixed_dictionaries(
    {
        "tile.rows": st.integers(1, 64),
        "tile.panel": st.integers(1, 512),
        "tasks": st.integers(0, 2**31 - 1),
    }
)


@pytest.fixture(scope="module")
def space() -> KnobSpace:
    return knob_space(task())


def test_a_space_lists_values_rising_with_the_defaults_among_them() -> None:
    space = knob_space(task(choices={"tasks": [8, 4, 8], "tile.rows": [6]}))
    assert space.values == {"tasks": (1, 4, 8), "tile.rows": (2, 6)}
    assert space.start == {"tasks": 1, "tile.rows": 2}
    assert space.size == len(list(space.all())) == 6


def test_values_become_the_kernels_knobs_if_these_are_legal(space: KnobSpace) -> None:
    values = {"tile.rows": 6, "tile.panel": 80, "tasks": 4}
    assert space.knobs(values) == Knobs(Tile(6, 80), 4, False)
    assert space.legal(values)
    assert space.knobs({**values, "tile.rows": 7}) is None
    assert not space.legal({**values, "tile.rows": 7})


def test_a_choice_of_a_knob_that_is_not_there_is_an_error() -> None:
    with pytest.raises(TuningError, match=r"kernel toy: choices\(\) names tile.cols, but its"):
        knob_space(task(choices={"tile.cols": [1, 2]}))


def test_the_nearest_vector_is_next_by_ratio_knob_by_knob(space: KnobSpace) -> None:
    near = space.nearest({"tile.rows": 100, "tasks": 23, "unheard.of": 3})
    assert near == {"tile.rows": 10, "tasks": 32, "tile.panel": 16}
    assert space.nearest(space.start) == space.start


@given(values=VECTORS)
@settings(max_examples=30, deadline=None)
def test_any_vector_goes_round_through_a_schedule_and_json(values: dict[str, int]) -> None:
    ms = tvm_api.meta_schedule()
    space = knob_space(task())
    module = workload(space.task)
    schedule = forced_schedule(space, values)
    assert identify(schedule.mod) == (space.task.key, values)
    assert values_of(schedule.trace) == values

    token = ms.database.Workload(module)
    text = json.dumps(ms.database.TuningRecord(schedule.trace, token, [1.0]).as_json())
    read = ms.database.TuningRecord.from_json(json.loads(text), token)
    assert values_of(read.trace) == values
    replayed = tvm_api.s_tir.Schedule(module)
    read.trace.apply_to_schedule(replayed, remove_postproc=False)
    assert identify(replayed.mod) == (space.task.key, values)


def test_a_trace_names_knobs_and_values_for_people(space: KnobSpace) -> None:
    trace = forced_schedule(space, space.start).trace
    assert "tasks=1 tile.panel=16 tile.rows=2" in str(trace)
    assert 'ann_key="efcompile.tile.rows"' in str(trace)


def test_the_template_samples_from_the_values(space: KnobSpace) -> None:
    seen = []
    for seed in range(8):
        schedule = tvm_api.s_tir.Schedule(workload(space.task), seed=1 + seed)
        template(schedule, space)
        values = values_of(schedule.trace)
        assert all(values[path] in choices for path, choices in space.values.items())
        seen.append(tuple(values.values()))
    assert len(set(seen)) > 4


def test_workloads_are_told_apart_by_kernel_and_shape() -> None:
    ms, one, other = tvm_api.meta_schedule(), task(64), task(65)
    assert key_of(workload(one)) == one.key
    database = ms.database.MemoryDatabase()
    database.commit_workload(workload(one))
    assert database.has_workload(workload(task(64)))
    assert not database.has_workload(workload(other))


def test_a_strange_module_is_no_candidate() -> None:
    te = tvm_api.te
    x = te.placeholder((4,), name="x")
    function = te.create_prim_func([x, te.compute((4,), lambda i: x[i], name="y")])
    module = tvm_api.tvm.IRModule({"main": function})
    assert key_of(module) is None
    with pytest.raises(TuningError, match="names no kernel"):
        identify(module)
