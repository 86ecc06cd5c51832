"""What the doctor asks of a phone behind adb."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from efcompile.devices.adb import Adb
from efcompile.devices.adb_faults import not_installed
from efcompile.devices.patients import our_versions
from efcompile.devices.probe import Machine, build_probe_program, read_machine
from efcompile.targets.target import Target


@dataclass
class AdbPatient:
    """The phone that `device` means."""

    device: Adb = field(default_factory=Adb)

    name = "adb"

    def reach(self) -> str:
        """See `Patient`: adb is here, and the phone ready and trusting."""
        phone = self.device.phone()
        names = filter(None, [phone.model, phone.release and f"Android {phone.release}"])
        emulated = " (emulated)" if phone.kind == "emulated" else ""
        return f"{', '.join(names) or 'a phone'}{emulated} at {self.device.connect().serial}"

    def refuses(self, target: Target) -> str | None:
        """See `Patient`."""
        return self.device.refuses(target)

    def probe(self, target: Target, folder: Path) -> Machine:
        """See `Patient`."""
        program = build_probe_program(target, folder)
        return read_machine(self.device.execute(program, self.device.folder))

    def versions(self, machine: Machine) -> str:
        """See `Patient`: adb's version and Android's API level.  Static programs need no certain
        one."""
        level = self.device.connect().shell("getprop ro.build.version.sdk").text.strip()
        api = f"API level {level}" if level.isdigit() else "no API level told"
        return f"{_adb_version(self.device.adb)}, {api}; {our_versions()}"


def _adb_version(adb: str) -> str:
    try:
        done = subprocess.run([adb, "version"], capture_output=True, text=True, timeout=60)
    except OSError as error:
        raise not_installed(adb) from error
    lines = done.stdout.splitlines()
    return lines[0] if lines else "adb of an unknown version"
