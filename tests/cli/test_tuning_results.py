"""What `tune` says in the end."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from efcompile.cli.tuning_results import print_tuned, tuned_json, verdict
from efcompile.devices.measurement import Measurement
from efcompile.kernels.tuned import Split, TargetClass, Winners
from efcompile.targets.resolve import resolve
from efcompile.tuned_model import Improvement
from efcompile.tuning.progress import TaskState
from efcompile.tuning.tuner import Tuning

COMMAND = ["efcompile", "optimize", "m:f"]


def _measurement(value: float, kind: Literal["measured", "emulated"], unit: str) -> Measurement:
    spread = (value, value) if unit == "instructions" else (value * 0.99, value * 1.01)
    return Measurement(value, unit, spread, 30, "phone", "arm64", 1, kind)


def improvement(
    after: float = 9.5e6,
    interval: tuple[float, float] = (-0.6e6, -0.4e6),
    kind: Literal["measured", "emulated"] = "measured",
    unit: str = "ns",
    **changes: Any,
) -> Improvement:
    """A model that took 10 ms, or 10 million instructions."""
    tasks = (
        TaskState("gemm 49x192", 3, 0.7, 30, 100.0, 80.0, unit, "accepted"),
        TaskState("pool 7x7", 1, 0.3, 10, 50.0, 50.0, unit, "default kept"),
    )
    split = Split(op="mlp", signature="mlp(x)", fused=2.0, apart=1.0, unit=unit, date="2026-01-01")
    winners = Winners(
        target=TargetClass.of(resolve("arm64")),
        device="phone",
        kind=kind,
        threads=1,
        versions={},
        splits=(split, split.model_copy(update={"signature": "ffn(x)", "apart": 3.0})),
    )
    folder = Path("W x") / kind / "class"
    found = Improvement(
        tuning=Tuning(winners, tasks, 40, False, 75.0, folder),
        before=_measurement(10e6, kind, unit),
        after=_measurement(after, kind, unit),
        interval=interval,
        kept=True,
        winners=folder / "winners.json",
        error=2e-7,
    )
    return replace(found, **changes)


def _said(found: Improvement, capsys: pytest.CaptureFixture[str]) -> str:
    print_tuned(found, COMMAND)
    return "\n".join(" ".join(line.split()) for line in capsys.readouterr().out.splitlines())


def test_times_before_and_after_with_their_interval(capsys: pytest.CaptureFixture[str]) -> None:
    said = _said(improvement(), capsys)
    assert "40 trials in 1 min 15 s: 1 of 2 kernels better" in said
    assert "before 10.00 9.90 .. 10.10" in said
    assert "difference \N{MINUS SIGN}0.50 \N{MINUS SIGN}0.60 .. \N{MINUS SIGN}0.40 (95 %)" in said
    assert "the whole model is faster: 0.950 of before; error 2.0e-07" in said
    assert "faster as its parts: mlp(x)" in said and "ffn(x)" not in said
    assert "winners: W x/measured/class/winners.json" in said
    assert said.endswith("use them: efcompile optimize m:f --tuning-records 'W x'")


def test_instructions_are_exact_and_used_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    found = improvement(9e6, (-1e6, -1e6), "emulated", "instructions")
    said = _said(found, capsys)
    assert "Whole model: M instr, emulated on phone" in said
    assert "before 10.00 exact" in said
    assert "the whole model executes fewer instructions: 0.900 of before" in said
    assert said.endswith("--tuning-records 'W x' --emulated-records")


@pytest.mark.parametrize(
    ("after", "interval", "words"),
    [
        (10.5e6, (0.4e6, 0.6e6), "came out slower: 1.050 of before, so nothing new is kept"),
        (9.99e6, (-0.1e6, 0.1e6), "within the noise: 0.999"),
        (10e6, (0.0, 0.0), "as before"),
    ],
)
def test_verdicts(after: float, interval: tuple[float, float], words: str) -> None:
    assert words in verdict(improvement(after, interval))


def test_emulated_times_are_called_that() -> None:
    assert "takes less time under emulation" in verdict(improvement(kind="emulated"))


def test_what_was_not_kept_has_no_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = improvement(kept=False)
    said = _said(found, capsys)
    assert "use them" not in said and "run again with more --trials" in said
    earlier = tmp_path / "winners.json"
    earlier.write_text("{}")
    said = _said(replace(found, winners=earlier), capsys)
    assert "winners of earlier runs stay: efcompile optimize m:f --tuning-records" in said


def test_an_early_stop_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    found = improvement()
    stopped = replace(found, tuning=replace(found.tuning, stopped=True))
    assert "40 trials in 1 min 15 s, stopped early: 1 of 2" in _said(stopped, capsys)


def test_json_has_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    found = improvement()
    unmeasured = replace(found.tuning.tasks[0], start=math.nan, best=math.inf)
    tasks = (unmeasured, found.tuning.tasks[1])
    tuned_json(replace(found, tuning=replace(found.tuning, tasks=tasks)), COMMAND)
    said = capsys.readouterr().out
    document = json.loads(said, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert document["before"]["value"] == 10e6 and document["after"]["unit"] == "ns"
    assert document["interval"] == [-0.6e6, -0.4e6]
    assert document["tasks"][0]["start"] is None
    assert document["tasks"][1]["best"] == 50.0
    assert document["use"].startswith("efcompile optimize m:f --tuning-records")
    assert (document["trials"], document["stopped"]) == (40, False)
