"""The devices there are, by name."""

import difflib
from collections.abc import Callable
from typing import Final

from efcompile.devices.adb import Adb
from efcompile.devices.device import Device
from efcompile.devices.local import Local
from efcompile.devices.qemu import Qemu
from efcompile.devices.rpc import Rpc
from efcompile.errors import DeviceError

DEVICES: Final[tuple[Device, ...]] = (Local(), Qemu(), Rpc(), Adb())
"""Every device with its default settings; `unavailable` tells which can be used now."""


_KINDS: Final[dict[str, tuple[Callable[..., Device], tuple[str, ...]]]] = {
    "local": (Local, ("warmup", "iterations")),
    "qemu": (Qemu, ()),
    "rpc": (Rpc, ("tracker", "server", "key", "warmup", "iterations")),
    "adb": (Adb, ("serial", "warmup", "iterations")),
}
"""How each is made, and what can be set by those who choose it by name."""


def get_device(name: str, **settings: str | int | None) -> Device:
    """The device called `name`, available or not.

    `tracker` or `server` (``HOST:PORT``) and `key` say which one ``rpc`` means, and `serial`
    which phone ``adb`` does; `warmup` and `iterations` are how often those that time run a bundle.
    None leaves a setting as it is.  Raises `DeviceError` for an unknown name, with the nearest
    known one, and for a setting that the device does not have.
    """
    known = {device.name: device for device in DEVICES}
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"; did you mean `{close[0]}`?" if close else ""
        raise DeviceError(f"unknown device `{name}`{hint}. Known: {', '.join(known)}.")
    make, own = _KINDS[name]
    given = {setting: value for setting, value in settings.items() if value is not None}
    for setting in given:
        if setting not in own:
            owners = " and ".join(kind for kind, (_, names) in _KINDS.items() if setting in names)
            raise DeviceError(f"`{setting}` is a setting of {owners}, not of {name}: leave it out")
    return make(**given) if given else known[name]
