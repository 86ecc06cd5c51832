"""A saved report beside a fresh measurement: unchanged trees pass, slow ones do not."""

import shutil
from dataclasses import replace

import pytest

from efcompile.devices.local import Local
from efcompile.devices.qemu import Qemu
from efcompile.errors import DeviceError
from efcompile.passes.pipeline import build_pipeline
from efcompile.report import check
from efcompile.report.check import check_report, compare, pipeline_of
from efcompile.report.contest import Contest, hold_contest
from efcompile.report.document import Figure, Report
from efcompile.report.ledger import measure_ledger
from efcompile.targets.resolve import resolve
from tests.report.blocks import Wasteful, subject

PASSES = ("fold-batchnorm", "cancel-reshapes", "fuse-epilogue")
HOST = resolve("host")


def _figure(low: float, high: float) -> Figure:
    fields = {"value": (low + high) / 2, "low": low, "high": high, "unit": "ns", "samples": 9}
    return Figure.model_validate({**fields, "provenance": "local"})


@pytest.fixture(scope="module")
def saved() -> Report:
    return measure_ledger(subject(*PASSES), HOST, Local(), 1, budget=5, profiles=False)


@pytest.mark.parametrize(
    ("fresh", "slack", "verdict"),
    [
        ((100, 110), 0.0, "as fast"),
        ((109, 130), 0.0, "as fast"),
        ((111, 130), 0.0, "slower"),
        ((111, 130), 0.05, "as fast"),
        ((116, 130), 0.05, "slower"),
        ((80, 99), 0.0, "faster"),
        ((80, 99), 0.05, "as fast"),
    ],
)
def test_only_intervals_apart_by_more_than_the_slack_differ(
    fresh: tuple[float, float], slack: float, verdict: str
) -> None:
    assert compare(_figure(100, 110), _figure(*fresh), slack) == verdict


def test_an_unchanged_tree_passes(saved: Report) -> None:
    # A machine that others use too has worse moments than the default allows for.
    found = check_report(saved, subject(*PASSES), HOST, Local(), budget=5, slack=0.3)
    assert found.verdict != "slower"
    assert found.provenance.device == "local" and found.fresh.samples > 1
    assert found.saved == saved.ledger.rows[-1].cost.total


def test_a_slowdown_fails_and_only_after_it_stayed(saved: Report) -> None:
    slow = subject("fold-batchnorm", Wasteful(), "cancel-reshapes", "fuse-epilogue")
    found = check_report(saved, slow, HOST, Local(), budget=3)
    assert found.verdict == "slower" and found.attempts == check.ATTEMPTS


def test_a_disturbance_that_passes_is_none(saved: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []

    def disturbed(*args: object) -> Contest:
        contest = hold_contest(*args)  # type: ignore[arg-type]
        runs.append(1)
        if len(runs) > 1:
            return contest
        scores = {
            name: replace(
                score,
                total=replace(score.total, value=1e12, spread=(1e12, 1e12)),
            )
            for name, score in contest.scores.items()
        }
        return replace(contest, scores=scores)

    monkeypatch.setattr(check, "hold_contest", disturbed)
    found = check_report(saved, subject(*PASSES), HOST, Local(), budget=3, slack=0.3)
    assert found.verdict != "slower" and found.attempts == len(runs) >= 2


def test_other_kinds_of_figures_are_not_compared(saved: Report) -> None:
    here = saved.provenances["local"]
    for changes, words in (
        ({"machine": "another CPU"}, "different machine"),
        ({"target": "arm64"}, "different target"),
        ({"kind": "emulated", "device": "qemu"}, "different device"),
    ):
        changed = {"local": here.model_copy(update=changes)}
        other = saved.model_copy(update={"provenances": changed})
        with pytest.raises(DeviceError, match=f"figures of {words} cannot be compared"):
            check_report(other, subject(*PASSES), HOST, Local(), budget=1)


@pytest.mark.skipif(not shutil.which("qemu-aarch64"), reason="apt-get install qemu-user")
def test_counts_are_held_to_the_instruction() -> None:
    pytest.importorskip("ziglang", reason="pip install 'efcompile[cross]'")
    target, passes = resolve("arm64"), ("fold-batchnorm",)
    saved = measure_ledger(subject(*passes), target, Qemu(), 1, profiles=False)
    found = check_report(saved, subject(*passes), target, Qemu())
    assert (found.verdict, found.slack, found.attempts) == ("as fast", 0.0, 1)
    assert found.fresh.value == found.saved.value
    rows = list(saved.ledger.rows)
    total = rows[-1].cost.total
    less = {name: getattr(total, name) - 1 for name in ("value", "low", "high")}
    cost = rows[-1].cost.model_copy(update={"total": total.model_copy(update=less)})
    rows[-1] = rows[-1].model_copy(update={"cost": cost})
    ledger = saved.ledger.model_copy(update={"rows": tuple(rows)})
    better = saved.model_copy(update={"ledger": ledger})
    assert check_report(better, subject(*passes), target, Qemu()).verdict == "slower"


def test_what_was_rejected_before_it_was_measured_is_left_out_again(saved: Report) -> None:
    rows = [
        row.model_copy(
            update={"kept": False, "rewritten": () if row.name == "fold-batchnorm" else ("x",)}
        )
        for row in saved.ledger.rows
    ]
    gated = saved.model_copy(
        update={"ledger": saved.ledger.model_copy(update={"rows": tuple(rows)})}
    )
    names = [step.name for step in pipeline_of(gated, build_pipeline(PASSES))]
    assert names == ["legalise", "cancel-reshapes", "fuse-epilogue"]
