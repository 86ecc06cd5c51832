"""``efcompile devices emulate``: an arm64 phone to rehearse with, here."""

import contextlib
import sys
from typing import Annotated

import typer

from efcompile.cli import options
from efcompile.cli.console import err, out, print_json, say

DEFAULT_KEY = "arm64"


def emulate(
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="The tracker's; the first free one from it", show_default="9190"
        ),
    ] = None,
    key: Annotated[
        str,
        typer.Option(envvar="TVM_TRACKER_KEY", help="The key to register the server under"),
    ] = DEFAULT_KEY,
    tracker: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="A tracker that runs already, instead of a new one",
            show_default=False,
        ),
    ] = None,
    cpu: Annotated[str | None, typer.Option(help="qemu's", show_default="cortex-a76")] = None,
    json: options.Json = False,
) -> None:
    """Serve as an arm64 device until Ctrl-C: a TVM RPC server under qemu-aarch64, registered with
    a tracker, both on this machine's loopback alone.

    What is sent to it runs as on a phone, and takes no time that means anything.  The first use
    downloads an arm64 Python and TVM into the user's cache folder; nothing is installed.
    """
    from efcompile.devices.emulated_server import emulated_server
    from efcompile.devices.emulator import PLAIN_CPU
    from efcompile.devices.rpc_server import LOOPBACK
    from efcompile.devices.tracker import DEFAULT_PORT, Address, serve_tracker

    if tracker is not None and port is not None:
        raise typer.BadParameter("a tracker that runs has its port: --tracker or --port")
    with contextlib.ExitStack() as running:
        with err.status("starting (the first time, also downloading 120 MB)"):
            if tracker is None:
                started = running.enter_context(serve_tracker(port=port or DEFAULT_PORT))
                address = Address("127.0.0.1", started.port)
            else:
                address = Address.parse(tracker)
                if address.host not in LOOPBACK:
                    say(
                        f"warning: the tracker at {address} is told of a server on this machine's "
                        "loopback, which no other machine can reach; TVM's RPC has no "
                        "authentication, and whoever reaches a tracker or server can use it"
                    )
            server = running.enter_context(emulated_server(address, key=key, cpu=cpu or PLAIN_CPU))
        try:
            if json:
                # Complete when it is read, though this goes on.
                print_json({"tracker": str(server.tracker), "server": str(server.server)})
                sys.stdout.flush()
            else:
                _explain(str(server.tracker), str(server.server), key)
            server.service.wait()
        except KeyboardInterrupt:
            say("ending")


def _explain(tracker: str, server: str, key: str) -> None:
    # A key of the user's own is not printed: it may be one that others must not learn.
    given = f"--key {key}" if key == DEFAULT_KEY else "--key YOUR_KEY"
    options = f"--tracker {tracker} {given}"
    lines = (
        f"ready: an emulated arm64 server at {server}, registered with the tracker at {tracker}",
        "in another terminal:",
        f"  efcompile devices doctor {options}",
        f"  efcompile tune efficientformerv2_s0 --target arm64 --device rpc {options} --trials 40",
        f"  efcompile bench BUNDLE --device rpc {options}",
        "whoever can connect can run code here: TVM's RPC has no authentication. "
        "Only this machine can",
        "Ctrl-C ends it",
    )
    out.print("\n".join(lines), markup=False)
    sys.stdout.flush()
