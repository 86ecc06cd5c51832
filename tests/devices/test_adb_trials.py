"""Trials on a phone, which a stand-in for adb plays with an emulator."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from efcompile.bundle.trials import Outcome, Step, Trial, TrialSettings
from efcompile.devices.adb import Adb
from efcompile.errors import DeviceError
from efcompile.targets.resolve import resolve
from tests.bundle.trials import gemm_trial, result
from tests.devices.arm64 import CROSS_GCC, needs_arm64
from tests.devices.phones import StandIn, phone

__all__ = ["phone"]

ARM64 = resolve("arm64")
QUICK = TrialSettings(seconds=0.001, least=2, warmup=0, timeout=30.0)

pytestmark = needs_arm64


def _c_trial(folder: Path, name: str, body: str) -> Trial:
    """One arm64 kernel in C that should leave a zero in its result."""
    source, code = folder / f"{name}.c", folder / f"{name}.o"
    source.write_text(
        f"void kernel(volatile float *y, void *scratch, int begin, int end) {{ {body} }}\n"
    )
    subprocess.run([CROSS_GCC, "-O1", "-w", "-c", source, "-o", code], check=True)
    part = result(np.zeros(1, np.float32))
    return Trial(name, (Step("kernel", code, (0,), 1, 0, False),), (part,))


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    folder = tmp_path_factory.mktemp("kernels")
    made = [
        _c_trial(folder, "good", "*y = 0;"),
        _c_trial(folder, "crash", "*(volatile int *)8 = 1;"),
        _c_trial(folder, "hang", "for (;;) *y = 0;"),
        _c_trial(folder, "wrong", "*y = 1;"),
        gemm_trial(ARM64, folder),
    ]
    return {trial.name: trial for trial in made}


def _measure(
    phone: StandIn,
    trials: Sequence[Trial],
    settings: TrialSettings = QUICK,
    interleaved: bool = False,
) -> list[Outcome]:
    told: dict[int, Outcome] = {}
    found = Adb(adb=phone.adb).measure_trials(
        trials, ARM64, settings, interleaved=interleaved, watch=told.__setitem__
    )
    assert [told[i] for i in range(len(trials))] == found
    assert list(phone.storage.iterdir()) == []
    return found


@pytest.mark.parametrize("interleaved", [False, True])
def test_times_and_numbers(phone: StandIn, trials: dict[str, Trial], interleaved: bool) -> None:
    good, gemm, wrong = _measure(
        phone, [trials["good"], trials["gemm 1"], trials["wrong"]], interleaved=interleaved
    )
    for outcome in (good, gemm, wrong):
        assert not outcome.failure and len(outcome.values) >= 2
        assert (outcome.unit, outcome.kind, outcome.device) == ("ns", "emulated", "adb")
    assert gemm.error < 1e-5 and good.error == 0
    assert wrong.error > 0.5


def test_a_crash_and_a_hang_cost_themselves_alone(phone: StandIn, trials: dict[str, Trial]) -> None:
    names = ("good", "crash", "hang", "gemm 1")
    settings = replace(QUICK, timeout=6.0)
    good, crash, hang, gemm = _measure(phone, [trials[name] for name in names], settings)
    assert crash.failure == "ended by signal 11 (SIGSEGV)"
    assert hang.failure == "did not end within 6 s"
    for failed in (crash, hang):
        assert failed.values == () and np.isnan(failed.error) and failed.kind == "emulated"
    assert good.values and gemm.values and gemm.error < 1e-5
    # Nor does the one that hung go on over there.
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(phone.root) not in running


@pytest.mark.parametrize("interleaved", [False, True])
def test_after_an_interruption_it_goes_on_behind_the_last_one(
    phone: StandIn, trials: dict[str, Trial], interleaved: bool
) -> None:
    phone.set(CUT_AFTER="12")
    # Asking the phone what it is takes six or more lines; pushing and chmod print none.
    batch = [trials["good"]] * 16
    found = _measure(phone, batch, interleaved=interleaved)
    assert (phone.root / "cut").exists()
    assert all(outcome.values and outcome.error == 0 for outcome in found)


def test_what_was_finished_is_kept_when_the_phone_stays_away(
    phone: StandIn, trials: dict[str, Trial]
) -> None:
    phone.set(CUT_AFTER="10")
    told: dict[int, Outcome] = {}

    def watch(index: int, outcome: Outcome) -> None:
        told[index] = outcome
        phone.set(DEVICES="other:device")

    adb = Adb(adb=phone.adb, patience=0.3)
    with pytest.raises(DeviceError, match=r"did not come back within 0.3 s.*is kept"):
        adb.measure_trials([trials["good"]] * 16, ARM64, QUICK, watch=watch)
    assert sorted(told) == list(range(10))
    assert all(outcome.values for outcome in told.values())


def test_no_room_for_the_data(phone: StandIn, trials: dict[str, Trial]) -> None:
    phone.set(SPACE="100")
    with pytest.raises(DeviceError, match="no room left, seen while pushing trials"):
        _measure(phone, [trials["good"]])


def test_a_refusal_is_the_devices_fault(phone: StandIn, trials: dict[str, Trial]) -> None:
    said = re.escape("cannot run on cores 1000")
    with pytest.raises(DeviceError, match=f"running trials on the phone.*{said}"):
        _measure(phone, [trials["good"]], replace(QUICK, cores="1000"))


def test_nothing_to_do_needs_no_phone() -> None:
    assert Adb(adb="no-such-adb").measure_trials([], ARM64, QUICK) == []


def test_code_for_other_systems_is_refused(trials: dict[str, Trial]) -> None:
    with pytest.raises(DeviceError, match="Tune with target='android'"):
        Adb().measure_trials([trials["good"]], resolve("iphone12"), QUICK)
