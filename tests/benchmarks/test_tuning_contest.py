from pathlib import Path

import pytest

from benchmarks import tuning_contest
from benchmarks.stock_tuning import Found
from benchmarks.tuning_contest import ROUNDS, contest
from efcompile.bundle.trial import TrialSettings
from efcompile.devices.local import Local
from tests.benchmarks.stock_cases import gemm_task

QUICK = TrialSettings(seconds=0.0, least=3)


def test_both_are_searched_and_take_turns(tmp_path: Path) -> None:
    task = gemm_task()
    found = contest(task, Local(), QUICK, 4, tmp_path, "random", population=8)
    assert set(found.ns) == {"default", "tuned", "stock"}
    assert {len(values) for values in found.ns.values()} == {ROUNDS}
    assert min(min(values) for values in found.ns.values()) > 0
    assert found.stock.trials == 4
    assert 1 <= found.ours.trials <= 4
    assert found.ours.folder.is_relative_to(tmp_path)


def test_without_a_working_stock_candidate_ours_remain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = Found(None, float("inf"), 4, ("hung",) * 4, 1.0)
    monkeypatch.setattr(tuning_contest, "search", lambda *rest: nothing)
    found = contest(gemm_task(), Local(), QUICK, 1, tmp_path, "random")
    assert set(found.ns) == {"default", "tuned"}
