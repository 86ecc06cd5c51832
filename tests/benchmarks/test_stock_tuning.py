from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest

from benchmarks import stock_tuning
from benchmarks.stock_tuning import judged, search, stock_job, stock_kernel, workload
from efcompile.bundle.trial import Outcome, TrialSettings
from efcompile.devices.local import Local
from efcompile.kernels.kernel import Operand
from efcompile.tuning.compile import Compiled, compile_all
from efcompile.tuning.trials import Data, Stage, make_trial
from tests.benchmarks.stock_cases import gemm_task

QUICK = TrialSettings(seconds=0.0, least=3)


def test_the_stock_space_is_searched_and_its_best_is_right(tmp_path: Path) -> None:
    task, device = gemm_task(), Local()
    found = search(task, device, QUICK, 4, tmp_path / "search", "random", population=8)
    assert found.trials == 4 and found.failures == ()
    assert 0 < found.ns < inf and found.seconds > 0
    assert (tmp_path / "search" / "database_tuning_record.json").read_text().count("\n") == 4
    job = stock_job(task, found.module)
    (code,) = compile_all([job], [tmp_path / "best"])
    assert isinstance(code, Compiled)
    stage = Stage(job.kernel, job.shape, job.knobs, task.call, code)
    trial = make_trial("best", [stage], *Data(task.call).get())
    (outcome,) = device.measure_trials([trial], task.target, QUICK)
    assert not outcome.failure
    assert outcome.error < 1e-6


def test_a_search_that_fails_goes_on_with_another_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune, limits, most = stock_tuning._meta.tune.tune_tasks, [2, 1], []

    def fails_after_some(**options: Any) -> None:
        most.append(options["max_trials_global"])
        if limits:
            tune(**options | {"max_trials_global": limits.pop(0), "num_trials_per_iter": 1})
            raise RuntimeError("an index exceeds its range\nand more")
        tune(**options)

    monkeypatch.setattr(stock_tuning._meta.tune, "tune_tasks", fails_after_some)
    found = search(gemm_task(), Local(), QUICK, 4, tmp_path, "random", population=8)
    assert most == [4, 2, 1]
    assert found.trials == 4
    assert found.faults == ("an index exceeds its range",) * 2
    assert found.module is not None


def test_no_working_candidate_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Outcome((), "ns", "measured", 0.0, failure="ended by signal 11")
    monkeypatch.setattr(
        Local, "measure_trials", lambda self, trials, *rest, **more: [failed for _ in trials]
    )
    found = search(gemm_task(), Local(), QUICK, 2, tmp_path, "random", population=8)
    assert (found.module, found.ns, found.trials) == (None, inf, 2)
    assert found.failures == ("ended by signal 11",) * 2


def test_constants_are_free_in_layout_and_operands_are_the_ops_own() -> None:
    task = gemm_task()
    module = workload(task)
    assert [int(i) for i in module["main"].attrs["layout_free_buffers"]] == [1, 2]
    packed = stock_kernel(task.kernel).pack(task.call, task.shape, module)
    assert packed[0] == "x"
    assert packed[1] is task.call.value("weight")
    assert packed[2] is task.call.value("bias")


def test_a_plain_algorithm_with_other_operands_is_refused() -> None:
    task = gemm_task()
    more = task.call.args | {"residual": Operand((1, 6, 24))}
    with pytest.raises(ValueError, match="operands that the op has not"):
        workload(replace(task, call=replace(task.call, args=more)))


def test_wrong_numbers_are_a_failure() -> None:
    right = Outcome((1.0,), "ns", "measured", 1e-7)
    assert judged(right) is right
    for error in (1e-3, float("nan")):
        wrong = judged(replace(right, error=error))
        assert wrong.values == () and "wrong numbers" in wrong.failure
