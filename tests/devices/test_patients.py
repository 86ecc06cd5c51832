"""The doctor's look at this machine and at the emulator, and what can be wrong with them."""

import shutil
import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from efcompile import tvm_api
from efcompile.devices import emulator
from efcompile.devices.doctor import Check, examine
from efcompile.devices.patients import LocalPatient, QemuPatient
from efcompile.errors import DeviceError
from efcompile.targets.host import detect_host
from efcompile.targets.resolve import resolve
from tests.devices.patient import FakeDevice

needs_arm64 = pytest.mark.skipif(
    not (shutil.which("qemu-aarch64") and find_spec("ziglang")),
    reason="apt-get install qemu-user; pip install 'efcompile[cross]'",
)


def _by_name(checks: tuple[Check, ...]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_this_machine_is_healthy_but_maybe_restless() -> None:
    checks = _by_name(examine(LocalPatient(), detect_host()))
    # Other work on this machine may disturb the clock, and nothing else.
    assert [name for name, check in checks.items() if check.state != "ok"] in ([], ["clock"])
    assert "apache-tvm " in checks["versions"].found
    assert "20 times the same work" in checks["clock"].found


def test_this_machine_does_not_run_code_for_another() -> None:
    other = "arm64" if detect_host().arch == "x86_64" else "x86_64-linux-gnu"
    fault = _by_name(examine(LocalPatient(), resolve(other)))["architecture"]
    assert fault.state == "fault" and "does not run on" in fault.found and fault.mend


def test_another_tvm_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    old = {"apache-tvm": "0.26.0", "apache-tvm-ffi": "0.1.14.post1"}
    monkeypatch.setattr(tvm_api, "installed_versions", lambda: old)
    fault = _by_name(examine(LocalPatient(FakeDevice()), detect_host()))["versions"]
    assert fault.state == "fault"
    assert "apache-tvm 0.26.0" in fault.found and "pip install" in fault.found


@needs_arm64
def test_the_emulator_is_healthy() -> None:
    checks = _by_name(examine(QemuPatient(), resolve("arm64")))
    assert {check.state for check in checks.values()} == {"ok"}, checks
    assert "its plugin counts" in checks["versions"].found
    assert "emulated, so no times" in checks["clock"].found


def test_no_emulator_is_a_fault_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    found = shutil.which
    missing = "qemu-aarch64"
    monkeypatch.setattr(shutil, "which", lambda name: None if name == missing else found(name))
    checks = _by_name(examine(QemuPatient(), resolve("arm64")))
    assert checks["reachable"].state == "fault"
    assert checks["reachable"].found.endswith("Install it: apt-get install qemu-user")
    assert checks["computes"].state == "skipped"


@needs_arm64
def test_an_emulator_without_plugins_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As static builds of it are: all goes well until a plugin is to be loaded.
    real = emulator.find_emulator()
    stand_in = tmp_path / "qemu-aarch64"
    stand_in.write_text(
        "#!/bin/sh\n"
        'for word in "$@"; do if [ "$word" = -plugin ]; then\n'
        '  echo "qemu: -plugin: unknown option" >&2; exit 1; fi; done\n'
        f'exec {real} "$@"\n'
    )
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr("efcompile.devices.patients.find_emulator", lambda: stand_in)
    monkeypatch.setattr(emulator, "find_emulator", lambda: stand_in)
    fault = _by_name(examine(QemuPatient(FakeDevice()), resolve("arm64")))["versions"]
    assert fault.state == "fault"
    assert "unknown option" in fault.found and "apt-get install qemu-user" in fault.found


@needs_arm64
def test_a_target_that_the_emulator_cannot_run_is_a_fault() -> None:
    fault = _by_name(examine(QemuPatient(), detect_host()))["architecture"]
    if detect_host().arch == "x86_64":
        assert fault.state == "fault" and "runs arm64 Linux programs" in fault.found


def test_a_program_that_dies_here_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def dies(command: object, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(["probe"], -4, "", "")

    monkeypatch.setattr("efcompile.devices.patients.build_probe_program", lambda *_: tmp_path)
    monkeypatch.setattr(subprocess, "run", dies)
    with pytest.raises(DeviceError, match="ended with -4 here: no message"):
        LocalPatient().probe(detect_host(), tmp_path)
