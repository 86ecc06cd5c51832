"""Knobs are compiled and measured for real; what computes something else fails."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from efcompile.bundle.trial import TrialSettings
from efcompile.devices.local import Local
from efcompile.devices.qemu import Qemu
from efcompile.kernels.knobs import flatten
from efcompile.targets.resolve import resolve
from efcompile.tuning.bench import TOLERANCE, Bench, Candidate, seconds
from efcompile.tuning.compile import Compiled
from efcompile.tuning.task import Task
from tests.tuning.model import task

QUICK = TrialSettings(seconds=0.002, least=3, warmup=1)


def candidates(bench: Bench, one: Task, *vectors: dict[str, int]) -> list[Candidate]:
    built = bench.compile([(one, values) for values in vectors])
    found = []
    for values, (_, code) in zip(vectors, built, strict=True):
        assert isinstance(code, Compiled), code
        found.append(Candidate(one, values, code))
    return found


@pytest.mark.parametrize("kernel", ["mlp", "conv_direct", "pool_linear"])
def test_the_default_is_right_and_has_a_cost(kernel: str, tmp_path: Path) -> None:
    one = task(kernel)
    bench = Bench(Local(), resolve("host"), QUICK, tmp_path)
    heard = []
    (outcome,) = bench.measure(
        candidates(bench, one, flatten(one.default)),
        watch=lambda i, found: heard.append((i, found)),
    )
    assert outcome.failure == ""
    assert outcome.error <= TOLERANCE
    assert outcome.unit == "ns" and outcome.kind == "measured"
    assert 1e-8 < seconds(outcome) < 1e-2
    assert heard == [(0, outcome)]


def test_candidates_take_turns(tmp_path: Path) -> None:
    one = task("mlp")
    bench = Bench(Local(), resolve("host"), QUICK, tmp_path)
    default = flatten(one.default)
    both = candidates(bench, one, default, default | {"rows": 25})
    runs = bench.contest([bench.trial(one) for one in both], 9)
    assert len(runs) == (1 if bench.target.cores == 1 else 2)
    for first, second in runs:
        assert first.failure == second.failure == ""
        assert len(first.values) == len(second.values) >= 9


def test_wrong_numbers_are_a_failure(tmp_path: Path) -> None:
    one = task("mlp")
    bench = Bench(Local(), resolve("host"), QUICK, tmp_path)
    (good,) = candidates(bench, one, flatten(one.default))
    trial = bench.trial(good)
    *parts, result = trial.parts
    assert result.data is not None
    shifted = dataclasses.replace(result, data=result.data + np.float32(1e-3))
    wrong = dataclasses.replace(trial, parts=(*parts, shifted))
    right, off = bench.measure_trials([trial, wrong])
    assert right.failure == ""
    assert off.failure.startswith("wrong numbers: off by")
    assert off.values == ()


def test_under_emulation_a_count_is_the_same_every_time(tmp_path: Path) -> None:
    one = task("mlp", "arm64")
    bench = Bench(Qemu(), resolve("arm64"), QUICK, tmp_path)
    (made,) = candidates(bench, one, flatten(one.default))
    (first,), (again,) = bench.measure([made]), bench.measure([made])
    assert first == again
    assert first.unit == "instructions" and first.kind == "emulated"
    assert first.failure == ""
