"""Trials on this machine: times, and what crashes, hangs and wrong numbers cost."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from efcompile.bundle.trials import Outcome, Part, Trial, TrialSettings
from efcompile.devices.local import Local
from efcompile.devices.local_trials import last_cores
from efcompile.errors import DeviceError
from efcompile.targets.host import detect_host
from efcompile.targets.resolve import resolve
from tests.bundle.trials import C_HANG, c_trial, constant, gemm_trial, given, result

HOST = detect_host()
QUICK = TrialSettings(seconds=0.002)
ZERO = np.zeros(64, np.float32)


@pytest.fixture(scope="module")
def gemms(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    folder = tmp_path_factory.mktemp("gemms")
    return [gemm_trial(HOST, folder, rows=rows) for rows in (1, 3)]


def measure(
    *trials: Trial, settings: TrialSettings = QUICK, interleaved: bool = False
) -> list[Outcome]:
    told: dict[int, Outcome] = {}
    found = Local().measure_trials(
        trials, HOST, settings, interleaved=interleaved, watch=told.__setitem__
    )
    assert [told[i] for i in range(len(trials))] == found
    return found


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_times_and_numbers(gemms: list[Trial], threads: int, interleaved: bool) -> None:
    settings = TrialSettings(threads=threads, seconds=0.002, rotate_bytes=1 << 20)
    for outcome in measure(*gemms, settings=settings, interleaved=interleaved):
        assert not outcome.failure
        assert outcome.error < 1e-5
        assert len(outcome.values) >= settings.least
        assert all(50 < value < 1e7 for value in outcome.values)
        assert (outcome.unit, outcome.kind, outcome.device) == ("ns", "measured", "local")


@pytest.mark.parametrize("interleaved", [False, True])
def test_a_crash_costs_that_trial_alone(
    gemms: list[Trial], tmp_path: Path, interleaved: bool
) -> None:
    crash = c_trial(tmp_path, "crash", "*(volatile int *)8 = 1;")
    first, crashed, last = measure(gemms[0], crash, gemms[1], interleaved=interleaved)
    assert crashed.failure == "ended by signal 11 (SIGSEGV)"
    assert crashed.values == () and np.isnan(crashed.error)
    assert first.values and last.values and not first.failure + last.failure


def test_a_hang_costs_that_trial_alone(gemms: list[Trial], tmp_path: Path) -> None:
    settings = TrialSettings(seconds=0.002, timeout=0.5)
    hung, last = measure(c_trial(tmp_path, "hang", C_HANG), gemms[1], settings=settings)
    assert hung.failure == "did not end within 0.5 s"
    assert last.values


def test_a_crash_of_nobody_alone_fails_them_all(gemms: list[Trial], tmp_path: Path) -> None:
    # Long enough for a sample of its own, so alone there are few calls; not with a warm-up.
    body = "for (volatile int i = 0; i < 300000; ++i) {} static int n; if (++n > 50) *(int *)8 = 1;"
    late = c_trial(tmp_path, "late", body + "p0[0] = 0;")
    settings = TrialSettings(seconds=0.002, warmup=60)
    found = measure(late, gemms[0], settings=settings, interleaved=True)
    assert [each.failure for each in found] == ["ended by signal 11 (SIGSEGV)"] * 2


def test_unwritten_results_are_not_a_number(tmp_path: Path) -> None:
    (found,) = measure(c_trial(tmp_path, "idle", "", result(ZERO)))
    assert np.isnan(found.error)


def test_wrong_numbers_show(tmp_path: Path) -> None:
    wanted = np.arange(64, dtype=np.float32)
    body = "for (int i = 0; i < 64; ++i) p1[i] = i == 5 ? p0[i] + 6.3f : p0[i];"
    (found,) = measure(c_trial(tmp_path, "wrong", body, given(wanted), result(wanted)))
    assert found.error == pytest.approx(0.1)


def test_nan_and_infinity_may_be_expected(tmp_path: Path) -> None:
    special = np.array([np.nan, np.inf, -np.inf, 2.0], np.float32)
    copy = "for (int i = 0; i < 4; ++i) p1[i] = p0[i];"
    negate = "for (int i = 0; i < 4; ++i) p1[i] = -p0[i];"
    parts = (given(special), result(special))
    same, other = measure(
        c_trial(tmp_path, "same", copy, *parts), c_trial(tmp_path, "other", negate, *parts)
    )
    assert same.error == 0 and not same.failure
    assert other.error == np.inf


@pytest.mark.parametrize("outside", ["p0[64]", "p0[-1]", "((float *)scratch)[16]"])
def test_writing_outside_is_noticed(tmp_path: Path, outside: str) -> None:
    body = f"for (int i = 0; i < 64; ++i) p0[i] = 0; {outside} = 1;"
    (found,) = measure(c_trial(tmp_path, "overrun", body, result(ZERO)))
    assert found.failure == "wrote outside of its arrays"


@pytest.mark.parametrize(("rotate", "places"), [(0, 1), (1000, 4), (4096, 16)])
def test_constants_rotate(tmp_path: Path, rotate: int, places: int) -> None:
    # Counts the different places that its constant of 256 bytes has been at.
    body = """
      static float *seen[64];
      static int count;
      int i = 0;
      for (; i < count && seen[i] != p0; ++i) {}
      if (i == count) seen[count++] = p0;
      p1[0] = count;
      for (int k = 0; k < 64; ++k) p1[0] += p0[k] != 3;
    """
    threes = np.full(64, 3, np.float32)
    trial = c_trial(
        tmp_path, "places", body, constant(threes), result(np.full(1, places, np.float32))
    )
    (found,) = measure(trial, settings=TrialSettings(seconds=0.001, rotate_bytes=rotate))
    assert found.error == 0


def test_steps_run_in_order_over_what_lies_between(tmp_path: Path) -> None:
    values = np.arange(64, dtype=np.float32)
    body = "for (int i = 0; i < 64; ++i) p1[i] = 2 * p0[i];"
    double = c_trial(tmp_path, "double", body, given(values), result(values))
    (found,) = measure(two_steps(double))
    assert found.error == 0 and not found.failure


def two_steps(single: Trial) -> Trial:
    """The trial's kernel on its own result."""
    source, target = single.parts
    assert target.data is not None
    wanted = Part("output", target.bytes, 4 * target.data)
    step = single.steps[0]
    steps = (replace(step, args=(0, 1)), replace(step, args=(1, 2)))
    return Trial("chain", steps, (source, Part("middle", target.bytes, None), wanted))


def test_a_code_for_another_machine_is_refused() -> None:
    with pytest.raises(DeviceError, match="does not run on"):
        Local().measure_trials([], resolve("arm64"), QUICK)


def test_no_trials_no_outcomes() -> None:
    assert measure() == []


def test_cores_are_the_last_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 3, 5})
    assert last_cores(1) == "5"
    assert last_cores(2) == "3,5"


def test_bad_cores_are_the_whole_devices_trouble(gemms: list[Trial]) -> None:
    with pytest.raises(DeviceError, match="--cores must be a list"):
        measure(gemms[0], settings=TrialSettings(cores="first"))
