"""Options that say which device is meant, for every verb that runs code on one."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from efcompile.devices.device import Device as AnyDevice

KEY_VARIABLE = "TVM_TRACKER_KEY"

Device = Annotated[str, typer.Option(help="local, qemu, rpc or adb (`efcompile devices`)")]
Tracker = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="rpc: the tracker that the devices are registered with"),
]
Server = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="rpc: a server, without a tracker")
]
Key = Annotated[
    str | None,
    typer.Option(
        envvar=KEY_VARIABLE,
        help="rpc: the key under which the servers are registered",
        show_default=False,
    ),
]
Serial = Annotated[
    str | None, typer.Option(help="adb: which phone, of those that `adb devices` lists")
]


def default_target(device: str) -> str:
    """What code for `device` is compiled for if nobody says."""
    return {"local": "host", "adb": "android"}.get(device, "arm64")


def chosen(
    name: str,
    *,
    tracker: str | None = None,
    server: str | None = None,
    key: str | None = None,
    serial: str | None = None,
    warmup: int | None = None,
    iterations: int | None = None,
) -> "AnyDevice":
    """The device that the options mean; raises what `get_device` does.

    The key may come from the environment, where it is for whoever needs it: to another device
    than ``rpc`` it says nothing.
    """
    from efcompile.devices.registry import get_device

    return get_device(
        name,
        tracker=tracker,
        server=server,
        key=key if name == "rpc" or not _from_environment(key) else None,
        serial=serial,
        warmup=warmup,
        iterations=iterations,
    )


def together(
    name: str,
    *,
    tracker: str | None = None,
    server: str | None = None,
    key: str | None = None,
    serial: str | None = None,
) -> "AnyDevice":
    """As `chosen`, for measuring trials: of a tracker's servers, all that have the key."""
    one = chosen(name, tracker=tracker, server=server, key=key, serial=serial)
    if name != "rpc" or server is not None:
        return one
    from efcompile.devices.fleet import Fleet

    return Fleet.behind(tracker, key)


def _from_environment(key: str | None) -> bool:
    return key is not None and key == os.environ.get(KEY_VARIABLE)
