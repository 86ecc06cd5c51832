"""Records in MetaSchedule's JSON database."""

import json
import math
from pathlib import Path

import pytest

from efcompile import tvm_api
from efcompile.errors import TuningError
from efcompile.tuning.database import open_database
from tests.tuning.toy import task

VALUES = {"tile.rows": 4, "tile.panel": 16, "tasks": 8}


def test_records_survive_closing_and_know_their_task(tmp_path: Path) -> None:
    one, other = task(16), task(32)
    with open_database(tmp_path) as database:
        database.commit(database.record(one, VALUES, 2e-6))
        database.commit(database.record(one, {**VALUES, "tasks": 16}, 1e-6))
        database.commit(database.record(other, VALUES, None))
        before = database.history(one), database.history(other)
    with open_database(tmp_path) as database:
        assert (database.history(one), database.history(other)) == before
        assert database.history(task(48)) == []
    assert before == (
        [({**VALUES, "tasks": 16}, 1e-6), (VALUES, 2e-6)],
        [(VALUES, math.inf)],
    )


def test_a_record_shows_its_knobs_as_plain_data(tmp_path: Path) -> None:
    with open_database(tmp_path) as database:
        database.commit(database.record(task(), VALUES, 2e-6))
    place, (trace, seconds, target, _) = json.loads((tmp_path / "records.json").read_text())
    assert place == 0
    assert seconds == [2e-6]
    assert target["mcpu"] == "skylake"
    annotations = [(name[0], inputs[1]) for kind, inputs, name, _ in trace[0] if kind == "Annotate"]
    assert ("efcompile.knobs", '"tasks=8 tile.panel=16 tile.rows=4"') in annotations


def test_a_record_may_hold_values_that_are_not_choices(tmp_path: Path) -> None:
    values = {**VALUES, "tasks": 5}
    with open_database(tmp_path) as database:
        record = database.record(task(), values, 1e-6)
        assert database.values_of(record.trace) == values
        database.commit(record)
    # Choices of a later release do not change what an old record means.
    fewer = task(choices={"tile.rows": [1], "tile.panel": [8], "tasks": [3]})
    with open_database(tmp_path) as database:
        assert database.history(fewer) == [(values, 1e-6)]


def test_metaschedule_finds_the_best_record_and_not_a_failed_one(tmp_path: Path) -> None:
    from efcompile.tuning.space import workload

    with open_database(tmp_path) as database:
        for tasks, seconds in ((1, None), (2, 3e-6), (4, 2e-6)):
            database.commit(database.record(task(), {**VALUES, "tasks": tasks}, seconds))
        token = database.native.commit_workload(workload(task()))
        best = database.native.get_top_k(token, 5)
    assert [database.values_of(record.trace)["tasks"] for record in best] == [4, 2]


@pytest.mark.parametrize("values", [{"tasks": 8}, {**VALUES, "aside": 1}])
def test_a_record_names_the_knobs_of_its_space(tmp_path: Path, values: dict[str, int]) -> None:
    with (
        open_database(tmp_path) as database,
        pytest.raises(TuningError, match=r"needs the knobs tasks, tile\.panel, tile\.rows, not"),
    ):
        database.record(task(), values, 1e-6)


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf, 1e10])
def test_impossible_times_are_refused(tmp_path: Path, seconds: float) -> None:
    with open_database(tmp_path) as database, pytest.raises(TuningError, match="cannot have taken"):
        database.record(task(), VALUES, seconds)


def test_a_folder_is_one_runs_at_a_time(tmp_path: Path) -> None:
    with open_database(tmp_path), pytest.raises(TuningError, match="another tuning run uses"):
        open_database(tmp_path)
    open_database(tmp_path).close()


def test_the_lock_is_let_go_when_opening_fails(tmp_path: Path) -> None:
    (tmp_path / "workloads.json").mkdir()
    with pytest.raises(IsADirectoryError):
        open_database(tmp_path)
    (tmp_path / "workloads.json").rmdir()
    open_database(tmp_path).close()


def test_a_workload_of_another_tool_is_left_alone(tmp_path: Path) -> None:
    te = tvm_api.te
    x = te.placeholder((4,), name="x")
    function = te.create_prim_func([x, te.compute((4,), lambda i: x[i], name="y")])
    with open_database(tmp_path) as database:
        database.native.commit_workload(tvm_api.tvm.IRModule({"main": function}))
        database.commit(database.record(task(), VALUES, 1e-6))
    with open_database(tmp_path) as database:
        assert database.history(task()) == [(VALUES, 1e-6)]
