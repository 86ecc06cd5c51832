"""The devices there are, by name."""

import difflib
from typing import Final

from efcompile.devices.adb import Adb
from efcompile.devices.device import Device
from efcompile.devices.local import Local
from efcompile.devices.qemu import Qemu
from efcompile.errors import DeviceError

DEVICES: Final[tuple[Device, ...]] = (Local(), Qemu(), Adb())
"""Every device with its default settings; `unavailable` tells which can be used now."""


def get_device(name: str) -> Device:
    """The device called `name`, available or not.

    Raises `DeviceError` for an unknown name, with the nearest known one.
    """
    known = {device.name: device for device in DEVICES}
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"; did you mean `{close[0]}`?" if close else ""
    raise DeviceError(f"unknown device `{name}`{hint}. Known: {', '.join(known)}.")
