"""What the doctor asks of the devices on this machine: itself, and the emulator."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from efcompile import tvm_api
from efcompile.devices.device import TrialDevice
from efcompile.devices.emulator import (
    count_instructions,
    cpu_model,
    emulate,
    emulator_version,
    find_emulator,
)
from efcompile.devices.local import Local
from efcompile.devices.probe import Machine, build_probe_program, read_machine
from efcompile.devices.qemu import Qemu
from efcompile.errors import DeviceError
from efcompile.targets.target import Target


def our_versions() -> str:
    """The TVM pair here; `ToolchainError` unless it is the one this release was made for."""
    tvm_api.check_versions()
    return ", ".join(f"{package} {version}" for package, version in tvm_api.PINS.items())


@dataclass
class LocalPatient:
    """This machine."""

    device: TrialDevice = field(default_factory=Local)

    name = "local"

    def reach(self) -> str:
        """See `Patient`; a machine is always here."""
        return "this machine"

    def refuses(self, target: Target) -> str | None:
        """See `Patient`."""
        return self.device.refuses(target)

    def probe(self, target: Target, folder: Path) -> Machine:
        """See `Patient`."""
        program = build_probe_program(target, folder)
        done = subprocess.run([program, folder], capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise DeviceError(
                f"a program for {target.triple} ended with {done.returncode} here: "
                f"{done.stderr.strip() or 'no message'}"
            )
        return read_machine(done.stdout)

    def versions(self, machine: Machine) -> str:
        """See `Patient`."""
        return our_versions()


@dataclass
class QemuPatient:
    """The emulator of this machine."""

    device: TrialDevice = field(default_factory=Qemu)
    _program: Path | None = None

    name = "qemu"

    def reach(self) -> str:
        """See `Patient`."""
        return str(find_emulator())

    def refuses(self, target: Target) -> str | None:
        """See `Patient`."""
        return self.device.refuses(target)

    def probe(self, target: Target, folder: Path) -> Machine:
        """See `Patient`.  The cores and the free space are this machine's."""
        self._program = build_probe_program(target, folder)
        command = [self._program, folder]
        return read_machine(emulate(command, cpu=cpu_model(target.features), timeout=60))

    def versions(self, machine: Machine) -> str:
        """See `Patient`: the emulator must load plugins, which count the instructions."""
        assert self._program is not None
        counts = count_instructions([self._program], timeout=60)
        return f"QEMU {emulator_version()}, its plugin counts ({counts.total:,}); {our_versions()}"
