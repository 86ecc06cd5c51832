"""A fused kernel and its parts compute the same and take turns."""

import threading
from pathlib import Path

from efcompile.bundle.trial import TrialSettings
from efcompile.devices.local import Local
from efcompile.kernels.knob_source import ANALYTIC
from efcompile.targets.resolve import resolve
from efcompile.tuning.bench import TOLERANCE, Bench
from efcompile.tuning.fusion import chain_of, contestants, judge_fusion
from tests.tuning.model import task

QUICK = TrialSettings(seconds=0.002, least=3, warmup=1)


def test_the_parts_of_an_mlp_are_two_products() -> None:
    links = chain_of(task("mlp"))
    assert [link.task.kernel.name for link in links] == ["gemm", "gemm"]
    assert links[0].operands == {"x": "x"}
    # The block's residual is its input.
    assert links[1].operands == {"x": None, "residual": "x"}
    assert chain_of(task("conv_direct")) == ()


def test_both_ways_are_right(tmp_path: Path) -> None:
    one = task("mlp")
    bench = Bench(Local(), resolve("host"), QUICK, tmp_path)
    pair = contestants(one, chain_of(one), bench, ANALYTIC)
    assert pair is not None
    fused, apart = bench.measure_trials(pair)
    assert [len(trial.steps) for trial in pair] == [1, 2]
    assert fused.failure == apart.failure == ""
    assert max(fused.error, apart.error) <= TOLERANCE


def test_the_verdict_is_about_ops_that_have_parts(tmp_path: Path) -> None:
    bench = Bench(Local(), resolve("host"), QUICK, tmp_path)
    both = [task("mlp"), task("conv_direct")]
    verdicts = judge_fusion(both, bench, ANALYTIC, threading.Event())
    assert all(split.op == "mlp" and split.fused != split.apart for split in verdicts)
    assert len(verdicts) <= 1
    stopped = threading.Event()
    stopped.set()
    assert judge_fusion(both, bench, ANALYTIC, stopped) == ()
