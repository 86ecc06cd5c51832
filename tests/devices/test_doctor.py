"""Each fault is one line with its remedy, and what depends on it is not tried."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from efcompile.bundle.trial import Outcome
from efcompile.devices.doctor import Check, examine
from efcompile.targets.host import detect_host
from efcompile.targets.resolve import resolve
from tests.devices.patient import HEALTHY, FakeDevice, FakePatient, timed

HOST = detect_host()
NAMES = ["reachable", "toolchain", "architecture", "versions", "free space", "computes", "clock"]


def _examined(patient: FakePatient) -> dict[str, Check]:
    heard: list[Check] = []
    checks = examine(patient, HOST, heard.append)
    assert list(checks) == heard
    assert all("\n" not in check.found + check.mend for check in checks)
    return {check.name: check for check in checks}


def _only_fault(checks: dict[str, Check]) -> Check:
    (fault,) = [check for check in checks.values() if check.state == "fault"]
    return fault


def test_a_healthy_device_is_all_ok() -> None:
    checks = _examined(FakePatient())
    assert list(checks) == NAMES
    assert {check.state for check in checks.values()} == {"ok"}
    assert "20 times the same work: median 0.1 us" in checks["clock"].found


def test_what_needs_an_unreachable_device_is_not_tried() -> None:
    checks = _examined(FakePatient(unreachable="nothing listens\n  there: start it"))
    assert _only_fault(checks) == Check("reachable", "fault", "nothing listens there: start it")
    assert checks["toolchain"].state == "ok"
    assert checks["architecture"].found == "not tried: reachable first"
    assert [checks[name].state for name in NAMES[2:]] == ["skipped"] * 5


def test_another_architecture_is_told() -> None:
    fault = _only_fault(_examined(FakePatient(FakeDevice(refusal="code for arm does not run"))))
    assert fault.name == "architecture" and "--target" in fault.mend


def test_missing_features_are_told() -> None:
    machine = replace(HEALTHY, lacks=("avx512f", "fma"))
    fault = _only_fault(_examined(FakePatient(machine=machine)))
    assert fault.name == "architecture" and "lacks avx512f, fma" in fault.found
    assert "--mattr" in fault.mend


def test_a_full_disk_is_told_and_the_rest_goes_on() -> None:
    checks = _examined(FakePatient(machine=replace(HEALTHY, free_bytes=10**7)))
    fault = _only_fault(checks)
    assert (fault.name, fault.found) == ("free space", "10 MB are free where trials are kept")
    assert checks["clock"].state == "ok"


def test_a_system_that_does_not_tell_its_space_is_no_fault() -> None:
    checks = _examined(FakePatient(machine=replace(HEALTHY, free_bytes=None)))
    assert checks["free space"].found == "not told by this system"


def _slow_end(position: int) -> Outcome:
    return replace(timed(position), values=(100.0 if position < 12 else 104.0 + 0.3 * position,))


def _restless(position: int) -> Outcome:
    return replace(timed(position), values=(100.0 + 30 * (position % 2),))


def _failing(position: int) -> Outcome:
    return replace(timed(position), values=(), failure="ended by signal 11")


@pytest.mark.parametrize(
    ("outcome", "name", "found", "mend"),
    [
        (_failing, "computes", "ended by signal 11", "target"),
        (lambda i: replace(timed(i), error=0.5), "computes", "off by 5.0e-01", "do not trust"),
        (lambda i: replace(timed(i), error=float("nan")), "computes", "off by nan", "trust"),
        (_restless, "clock", "quartiles 26.1% apart", "governor"),
        (_slow_end, "clock", "quartiles 8.", "governor"),
    ],
)
def test_bad_outcomes(outcome: Callable[[int], Outcome], name: str, found: str, mend: str) -> None:
    fault = _only_fault(_examined(FakePatient(FakeDevice(outcome))))
    assert fault.name == name
    assert found in fault.found and mend in fault.mend


def test_drift_alone_is_a_fault() -> None:
    # Most of the repeats are steady, so the quartiles are close; the end is not the beginning.
    def warming(position: int) -> Outcome:
        return replace(timed(position), values=(100.0 + (7.0 if position > 16 else 0.0),))

    def drifting(position: int) -> Outcome:
        return replace(timed(position), values=(100.0 if position < 15 else 105.2,))

    assert _examined(FakePatient(FakeDevice(warming)))["clock"].state == "ok"
    fault = _only_fault(_examined(FakePatient(FakeDevice(drifting))))
    assert "drift +5.2%" in fault.found and "cool" in fault.mend


def _counted(position: int) -> Outcome:
    return Outcome((612_345.0,), "instructions", "emulated", 1e-7)


def test_emulated_counts_repeat_exactly_and_are_no_times() -> None:
    found = _examined(FakePatient(FakeDevice(_counted)))["clock"].found
    assert found == "612,345 instructions, 3 times the same; emulated, so no times"

    def uneven(position: int) -> Outcome:
        return replace(_counted(position), values=(612_345.0 + position,))

    fault = _only_fault(_examined(FakePatient(FakeDevice(uneven))))
    assert fault.name == "clock" and "differ" in fault.found


def test_emulated_times_are_judged_by_nobody() -> None:
    def restless(position: int) -> Outcome:
        return replace(_restless(position), kind="emulated")

    clock = _examined(FakePatient(FakeDevice(restless)))["clock"]
    assert clock.state == "ok" and clock.found.endswith("emulated, so no times")


def test_a_missing_toolchain_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("efcompile.bundle.toolchain._zig_home", lambda: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    checks = {check.name: check for check in examine(FakePatient(), resolve("arm64"))}
    assert checks["toolchain"].state == "fault"
    assert "pip install 'efcompile[cross]'" in checks["toolchain"].found
    assert checks["architecture"].found == "not tried: toolchain first"
