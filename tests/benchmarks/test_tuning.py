import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from benchmarks import tuning
from benchmarks.stock_tuning import Found
from benchmarks.tuning import Subject, chosen, flops, main, prepare
from benchmarks.tuning_contest import Contest
from efcompile.kernels.tuned import TargetClass, Winners
from efcompile.models.zoo import resolve_model
from efcompile.tuning.task import Task
from efcompile.tuning.tuner import Tuning
from tests.benchmarks.examples import MACHINE
from tests.benchmarks.stock_cases import gemm_task
from tests.benchmarks.test_prepared import SMALL


def _tuned(task: Task) -> Tuning:
    winners = Winners(
        target=TargetClass.of(task.target), device="local", kind="measured", threads=1, versions={}
    )
    return Tuning(winners, (), 8, False, 2.0, Path())


def _contest(task: Task, *rest: object) -> Contest:
    ns = {"stock": (400.0, 200.0, 300.0), "default": (150.0,) * 3, "tuned": (100.0,) * 3}
    return Contest(task, Found(None, 300.0, 8, ("hung",), 5.0, ("overflow",)), _tuned(task), ns)


def _main(**options: Any) -> None:
    usual: dict[str, Any] = {
        "model": "some", "kernels": "", "trials": 8, "cost_model": "random", "json_file": None,
    }  # fmt: skip
    main(**(usual | options))


@pytest.fixture
def one_kernel(monkeypatch: pytest.MonkeyPatch) -> Task:
    task = gemm_task()
    monkeypatch.setattr(tuning, "prepare", lambda model: Subject((task,), 1000))
    monkeypatch.setattr(tuning, "contest", _contest)
    monkeypatch.setattr(tuning, "measure", lambda threads: MACHINE)
    return task


def test_a_models_tasks_and_weights() -> None:
    subject = prepare(SMALL)
    names = {task.kernel.name for task in subject.tasks}
    assert {"gemm", "conv_direct"} <= names
    weights = resolve_model(SMALL).parameters()
    assert subject.weight_bytes == sum(4 * weight.numel() for weight in weights)


def test_nominal_operations_of_a_call() -> None:
    task = gemm_task(m=6, n=24, k=10)
    assert flops(task.call) == 2 * 6 * 24 * 10


def test_by_default_the_heaviest_of_each_kind() -> None:
    light, heavy = gemm_task(), gemm_task(m=60)
    other = replace(light, kernel=replace(light.kernel, name="other"), times=100)
    assert chosen([light, heavy, other], []) == [other, heavy]


def test_names_choose_the_heaviest_that_fits() -> None:
    light, heavy = gemm_task(), gemm_task(m=60)
    assert chosen([light, heavy], ["gemm"]) == [heavy]
    assert chosen([light, heavy], [light.name, "gemm"]) == [light, heavy]
    with pytest.raises(ValueError, match="no kernel 'ffn': there are gemm"):
        chosen([light], ["ffn"])


def test_the_table_and_the_figures(
    one_kernel: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "figures.json"
    _main(json_file=figures)
    shown = capsys.readouterr().out
    assert "1 of 8" in shown and "0.33" in shown and "cost model random" in shown
    assert "the stock search ended with: overflow" in shown
    document = json.loads(figures.read_text())
    (row,) = document["kernels"]
    assert row["ns"] == {"stock": 300.0, "default": 150.0, "tuned": 100.0}
    assert row["quartiles"]["stock"] == [250.0, 350.0]
    assert row["ratio"] == pytest.approx(1 / 3)
    assert row["stock"] == {
        "trials": 8,
        "failures": ["hung"],
        "seconds": 5.0,
        "faults": ["overflow"],
    }
    assert document["fma_gflops"] == MACHINE.fma


def test_a_stock_search_without_a_result_is_shown(
    one_kernel: Task, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def without(task: Task, *rest: object) -> Contest:
        found = _contest(task)
        return replace(found, ns={name: found.ns[name] for name in ("default", "tuned")})

    monkeypatch.setattr(tuning, "contest", without)
    _main()
    assert f"{one_kernel.name}: - of stock's best" in capsys.readouterr().out


def test_unknown_kernels_and_a_missing_package_are_told(
    one_kernel: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(typer.BadParameter, match="there are gemm"):
        _main(kernels="ffn")
    monkeypatch.setattr(tuning, "find_spec", lambda name: None)
    with pytest.raises(typer.BadParameter, match="pip install xgboost-cpu"):
        _main(cost_model="xgb")


def test_the_command_starts_in_any_folder(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(tuning.__file__)), "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "--trials" in done.stdout
