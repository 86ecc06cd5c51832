"""Trials under the emulator: exact counts, and failures that cost one trial."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from efcompile.bundle.trials import Outcome, Trial, TrialSettings
from efcompile.devices.qemu import Qemu
from efcompile.errors import DeviceError
from efcompile.targets.host import detect_host
from efcompile.targets.resolve import resolve
from tests.bundle.trials import C_HANG, K, M, N, c_trial, gemm_trial
from tests.devices.arm64 import CROSS_GCC, needs_arm64

ARM64 = resolve("arm64")


@pytest.fixture(scope="module")
def gemms(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    pytest.importorskip("ziglang", reason="pip install 'efcompile[cross]'")
    folder = tmp_path_factory.mktemp("gemms")
    return [gemm_trial(ARM64, folder, rows=rows) for rows in (1, 3)]


def measure(*trials: Trial, timeout: float = 20.0) -> list[Outcome]:
    told: dict[int, Outcome] = {}
    found = Qemu().measure_trials(
        trials, ARM64, TrialSettings(timeout=timeout), watch=told.__setitem__
    )
    assert [told[i] for i in range(len(trials))] == found
    return found


@needs_arm64
def test_counts_are_exact_and_repeat(gemms: list[Trial]) -> None:
    first, second = measure(*gemms)
    # Another place in another batch, and the same numbers.
    again, middle, last = measure(gemms[1], gemms[0], two_steps(gemms[0]))
    for outcome in (first, second, again, middle, last):
        assert not outcome.failure and outcome.error < 1e-5
        assert (outcome.unit, outcome.kind, outcome.device) == ("instructions", "emulated", "qemu")
    assert (first.values, second.values) == (middle.values, again.values)
    # A multiply-add of four floats each, and not much besides.
    assert M * N * K / 4 < first.values[0] < M * N * K
    # A second step costs as much again, but for what belongs to a trial.
    assert abs(last.values[0] - 2 * first.values[0]) < 200


def two_steps(single: Trial) -> Trial:
    """The trial's only step twice."""
    return replace(single, steps=single.steps * 2)


@needs_arm64
def test_a_crash_a_hang_and_an_overrun_cost_that_trial_alone(
    gemms: list[Trial], tmp_path: Path
) -> None:
    crash = c_trial(tmp_path, "crash", "*(volatile int *)8 = 1;", compiler=CROSS_GCC)
    hang = c_trial(tmp_path, "hang", C_HANG, compiler=CROSS_GCC)
    overrun = c_trial(tmp_path, "overrun", "p0[0] = p0[1] = 0;", compiler=CROSS_GCC)
    found = measure(crash, hang, overrun, gemms[0], timeout=0.1)
    assert [each.failure for each in found] == [
        "ended by signal 11 (SIGSEGV)",
        "did not end within 2 s",
        "wrote outside of its arrays",
        "",
    ]
    assert all(each.values == () and np.isnan(each.error) for each in found[:3])
    assert all((each.unit, each.kind) == ("instructions", "emulated") for each in found)


def test_several_threads_are_refused() -> None:
    with pytest.raises(DeviceError, match="one thread, not of 2"):
        Qemu().measure_trials([], ARM64, TrialSettings(threads=2))


@needs_arm64
def test_code_for_another_architecture_is_refused() -> None:
    with pytest.raises(DeviceError, match="qemu-aarch64 runs arm64"):
        Qemu().measure_trials([], detect_host(), TrialSettings())
