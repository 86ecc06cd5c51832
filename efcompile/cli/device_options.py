"""Options that say which device is meant, for every verb that runs code on one."""

from typing import Annotated

import typer

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
        envvar="TVM_TRACKER_KEY",
        help="rpc: the key under which the servers are registered",
        show_default=False,
    ),
]
Serial = Annotated[
    str | None, typer.Option(help="adb: which phone, of those that `adb devices` lists")
]
