"""`efcompile devices doctor`: lines, JSON, exit codes."""

import json
import os
import shutil

import pytest

from efcompile.devices import patients
from efcompile.devices.device import TrialDevice
from tests.cli.command import efcompile
from tests.devices.patient import FakeDevice
from tests.devices.phones import StandIn, phone

__all__ = ["phone"]


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine, with a clock that other work does not disturb."""

    def patient(device: TrialDevice | None = None) -> patients.LocalPatient:
        return real(FakeDevice())

    real = patients.LocalPatient
    monkeypatch.setattr(patients, "LocalPatient", patient)


@pytest.mark.usefixtures("steady")
def test_all_well_is_a_line_each_and_exit_0() -> None:
    said = efcompile("devices", "doctor")
    assert said.code == 0, said
    lines = said.out.splitlines()
    assert len(lines) == 7 and all(line.startswith("ok ") for line in lines)
    assert "x86_64" in said.out or "aarch64" in said.out


@pytest.mark.usefixtures("steady")
def test_json_says_the_same() -> None:
    document = json.loads(efcompile("devices", "doctor", "--json").out)
    assert (document["device"], document["target"], document["healthy"]) == ("local", "host", True)
    assert [check["state"] for check in document["checks"]] == ["ok"] * 7


def test_a_fault_is_a_line_with_its_remedy_and_exit_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    said = efcompile("devices", "doctor", "--qemu")
    assert said.code == 1
    faults = [line for line in said.out.splitlines() if line.startswith("fault")]
    assert len(faults) == 1 and "apt-get install qemu-user" in faults[0]
    document = json.loads(efcompile("devices", "doctor", "--qemu", "--json").out)
    assert not document["healthy"]
    assert {check["state"] for check in document["checks"]} == {"ok", "fault", "skipped"}


def test_one_device_at_a_time() -> None:
    said = efcompile("devices", "doctor", "--qemu", "--adb")
    assert said.code == 2 and "one device at a time" in said.err


def test_a_phone_is_named_behind_adb(monkeypatch: pytest.MonkeyPatch, phone: StandIn) -> None:
    path = phone.root / "bin"
    path.mkdir(parents=True)
    (path / "adb").symlink_to(phone.adb)
    monkeypatch.setenv("PATH", f"{path}:{os.environ['PATH']}")
    phone.set(DEVICES="one:device,two:offline")
    for words in (("--adb", "two"), ("--adb", "--serial", "two"), ("--serial", "two")):
        said = efcompile("devices", "doctor", *words)
        assert said.code == 1
        assert said.out.startswith("fault   reachable     phone two is offline")
    said = efcompile("devices", "doctor", "two")
    assert said.code == 2 and "goes with --adb" in said.err


def test_a_closed_port_is_told() -> None:
    said = efcompile("devices", "doctor", "--tracker", "127.0.0.1:9", "--key", "phones")
    assert said.code == 1 and "nothing listens at 127.0.0.1:9" in said.out
    assert "phones" not in said.out + said.err
