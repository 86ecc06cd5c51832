"""Where a report's figures come from, and which of them may be compared."""

from pathlib import Path

from efcompile.bundle.load import Bundle
from efcompile.devices.device import Device
from efcompile.devices.emulator import cpu_model
from efcompile.devices.measurement import Measurement
from efcompile.devices.qemu import Qemu
from efcompile.errors import DeviceError
from efcompile.report.document import Provenance
from efcompile.targets.host import cpu_name


def machine_of(device: Device, bundle: Bundle) -> str:
    """What runs `bundle` on `device`: this machine's CPU and the instruction set of the code,
    or the emulated CPU."""
    target = bundle.manifest.target
    if isinstance(device, Qemu):
        return f"qemu-aarch64 as {cpu_model(bundle.manifest.cpu_features)}, {target.cpu}"
    return f"{cpu_name(Path('/proc/cpuinfo').read_text())}, {target.cpu}"


def provenance_of(measurement: Measurement, machine: str) -> Provenance:
    """All that a measurement says of itself."""
    return Provenance(
        device=measurement.device,
        target=measurement.target,
        machine=machine,
        threads=measurement.threads,
        kind=measurement.kind,
        versions=dict(measurement.versions),
        date=measurement.date,
    )


def check_comparable(one: Provenance, other: Provenance) -> None:
    """Raise `DeviceError` unless figures of the two may be compared: the same kind, device,
    target, machine and number of threads.  Versions and date may differ."""
    for what in ("kind", "device", "target", "machine", "threads"):
        mine, theirs = getattr(one, what), getattr(other, what)
        if mine != theirs:
            raise DeviceError(
                f"figures of different {what} cannot be compared: {mine!r} ({one.device}, "
                f"{one.target}) and {theirs!r} ({other.device}, {other.target}); measure both "
                "the same way"
            )
