"""``efcompile devices doctor``: is a device fit to run and measure code?"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from efcompile.cli import device_options, options
from efcompile.cli.console import err, out, print_json

if TYPE_CHECKING:
    from efcompile.devices.doctor import Check, Patient

_STYLES = {"ok": "green", "fault": "bold red", "skipped": "dim"}


def doctor(
    phone: Annotated[
        str | None,
        typer.Argument(metavar="[SERIAL]", help="With --adb: which phone", show_default=False),
    ] = None,
    tracker: device_options.Tracker = None,
    server: device_options.Server = None,
    key: device_options.Key = None,
    adb: Annotated[
        bool, typer.Option("--adb", help="The phone that adb sees; among several: --adb SERIAL")
    ] = False,
    serial: device_options.Serial = None,
    qemu: Annotated[
        bool, typer.Option("--qemu", help="The arm64 emulator of this machine")
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            help="What code for the device would be compiled for",
            show_default="host; --adb: android; else arm64",
        ),
    ] = None,
    cpu: options.Cpu = None,
    mattr: options.Mattr = None,
    json: options.Json = False,
) -> None:
    """Examine this machine, or the device that the options name: can it be reached, does it fit
    the target, do versions agree, does a kernel compiled here run and compute there, does the
    same work take the same time, is there room.

    One line for each, and for each fault what mends it.  Exits with 1 if there is a fault.
    """
    from efcompile.devices.doctor import examine
    from efcompile.targets.resolve import resolve

    if phone is not None and (not adb or serial is not None):
        raise typer.BadParameter(f"what is {phone}? A phone's serial goes with --adb, once")
    serial = phone or serial
    patient = _patient(tracker, server, key, adb or serial is not None, serial, qemu)
    named = target or device_options.default_target(patient.name)
    described = resolve(named, cpu=cpu, features=options.features(mattr))
    with err.status(f"examining {patient.name} for {described.name}") as status:

        def watch(check: "Check") -> None:
            if not json:
                _say(check)
            status.update(f"examined: {check.name}")

        checks = examine(patient, described, watch)
    healthy = all(check.state == "ok" for check in checks)
    if json:
        print_json(
            {
                "device": patient.name,
                "target": described.name,
                "healthy": healthy,
                "checks": [asdict(check) for check in checks],
            }
        )
    if not healthy:
        raise typer.Exit(1)


def _patient(
    tracker: str | None,
    server: str | None,
    key: str | None,
    adb: bool,
    serial: str | None,
    qemu: bool,
) -> "Patient":
    from efcompile.devices.adb import Adb
    from efcompile.devices.adb_patient import AdbPatient
    from efcompile.devices.patients import LocalPatient, QemuPatient
    from efcompile.devices.rpc import Rpc
    from efcompile.devices.rpc_patient import RpcPatient

    rpc = tracker is not None or server is not None
    if rpc + adb + qemu > 1:
        raise typer.BadParameter("one device at a time: --tracker or --server, --adb, or --qemu")
    if qemu:
        return QemuPatient()
    if adb:
        return AdbPatient(Adb(serial))
    if rpc:
        return RpcPatient(Rpc(tracker=tracker, server=server, key=key))
    return LocalPatient()


def _say(check: "Check") -> None:
    style = _STYLES[check.state]
    out.print(f"[{style}]{check.state:<8}[/]{check.name:<14}{escape(check.found)}")
    if check.mend:
        out.print(f"{'':8}{'mend it:':<14}{escape(check.mend)}")
