import json
from pathlib import Path

import pytest
import typer

from benchmarks import compile_time
from benchmarks.compile_time import STEPS, Figure, above_limits, main

SMALL = "tests.small:small"


def _figure(cold: float, again: float) -> Figure:
    calls = {"cold": {"total": cold}, "kernels kept": {"total": 99.0}, "again": {"total": again}}
    return {"model": "m", "threads": 2, "imports": 99.0, "calls": calls}


def test_a_model_is_compiled_cold_with_kept_kernels_and_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    main([SMALL], 1, False, file)
    (figure,) = json.loads(file.read_text())["figures"]
    assert list(figure["calls"]) == ["cold", "kernels kept", "again"]
    for call, seconds in figure["calls"].items():
        total = seconds.pop("total")
        assert set(seconds) <= set(STEPS), "a step the table does not show"
        assert sum(seconds.values()) == pytest.approx(total), call
        assert min(seconds.values()) >= 0
    cold, kept, again = figure["calls"].values()
    assert set(cold) == set(kept) == set(STEPS)
    assert set(again) == {"capture", "reuse", "bundle", "other"}
    assert figure["imports"] > 0
    assert f"{SMALL}: seconds of optimize" in capsys.readouterr().out


def test_only_cold_and_again_have_limits() -> None:
    assert above_limits(_figure(19.9, 2.9)) == []
    assert above_limits(_figure(20.1, 2.9)) == ["m: cold takes 20.1 s, more than 20"]
    assert len(above_limits(_figure(float("nan"), 3.1))) == 2


def test_check_exits_with_1_past_a_limit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compile_time, "compile_time", lambda *_: _figure(20.5, 1.0))
    main(["m"], 1, False, None)
    with pytest.raises(typer.Exit) as end:
        main(["m"], 1, True, None)
    assert end.value.exit_code == 1
    assert "cold takes 20.5 s" in capsys.readouterr().out


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"f: exit status 1: .*no module named"):
        compile_time.compile_time("no.module:f", 1)
