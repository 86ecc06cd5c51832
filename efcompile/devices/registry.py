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


_SETTINGS = {"rpc": ("tracker", "server", "key"), "adb": ("serial",)}
"""What says which one of a device's kind is meant."""


def get_device(
    name: str,
    *,
    tracker: str | None = None,
    server: str | None = None,
    key: str | None = None,
    serial: str | None = None,
) -> Device:
    """The device called `name`, available or not.

    `tracker` or `server` (``HOST:PORT``) and `key` say which one ``rpc`` means, and `serial`
    which phone ``adb`` does.  Raises `DeviceError` for an unknown name, with the nearest known
    one, and for a setting that the device does not have.
    """
    known = {device.name: device for device in DEVICES}
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"; did you mean `{close[0]}`?" if close else ""
        raise DeviceError(f"unknown device `{name}`{hint}. Known: {', '.join(known)}.")
    given = {"tracker": tracker, "server": server, "key": key, "serial": serial}
    settings = {setting: value for setting, value in given.items() if value is not None}
    for setting in settings:
        if setting not in _SETTINGS.get(name, ()):
            owner = next(device for device, own in _SETTINGS.items() if setting in own)
            raise DeviceError(f"`{setting}` is a setting of {owner}, not of {name}: leave it out")
    if not settings:
        return known[name]
    return Adb(serial)
