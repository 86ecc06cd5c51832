"""The doctor's look at a phone, played by the stand-in for adb, and what can be wrong with it."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from efcompile.devices.adb import Adb
from efcompile.devices.adb_patient import AdbPatient
from efcompile.devices.doctor import Check, examine
from efcompile.targets.resolve import resolve
from tests.devices.phones import StandIn, phone

__all__ = ["phone"]

needs_arm64 = pytest.mark.skipif(
    not (shutil.which("qemu-aarch64") and find_spec("ziglang")),
    reason="apt-get install qemu-user; pip install 'efcompile[cross]'",
)


def _examined(adb: str, serial: str | None = None) -> dict[str, Check]:
    patient = AdbPatient(Adb(serial, adb=adb))
    return {check.name: check for check in examine(patient, resolve("android"))}


@needs_arm64
def test_a_phone_is_healthy(phone: StandIn) -> None:
    checks = _examined(phone.adb)
    assert {check.state for check in checks.values()} == {"ok"}, checks
    assert "(emulated) at qemu-arm64" in checks["reachable"].found
    assert checks["clock"].found.endswith("emulated, so no times")
    assert list(phone.storage.iterdir()) == []


def test_no_adb_is_told_with_its_install_line(tmp_path: Path) -> None:
    fault = _examined(str(tmp_path / "adb"))["reachable"]
    assert fault.state == "fault" and "apt-get install adb" in fault.found


@pytest.mark.parametrize(
    ("devices", "serial", "found"),
    [
        ("", None, "no phone is connected"),
        ("a:device,b:device", None, "--serial SERIAL"),
        ("a:device", "b", "there is no phone b"),
        ("a:unauthorized", None, "accept the question"),
        ("a:offline", None, "offline"),
    ],
)
def test_phones_that_are_not_ready(
    phone: StandIn, devices: str, serial: str | None, found: str
) -> None:
    phone.set(DEVICES=devices)
    fault = _examined(phone.adb, serial)["reachable"]
    assert fault.state == "fault" and found in fault.found


def test_another_architecture(phone: StandIn) -> None:
    phone.set(MACHINE="armv7l")
    fault = _examined(phone.adb)["reachable"]
    assert fault.state == "fault" and "runs armv7l and not arm64 programs" in fault.found


@needs_arm64
def test_a_full_phone(phone: StandIn) -> None:
    phone.set(SPACE="1000")
    fault = _examined(phone.adb)["architecture"]
    assert fault.state == "fault" and "no room left" in fault.found


@needs_arm64
def test_an_older_core_than_the_target_asks_for(phone: StandIn) -> None:
    phone.set(CPU="cortex-a57")
    fault = _examined(phone.adb)["architecture"]
    assert fault.state == "fault" and "dotprod" in fault.found and "--target" in fault.mend
