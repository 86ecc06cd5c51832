"""Real RPC servers and trackers on this machine's loopback, for the tests of what talks to them."""

import sys
import time
from collections.abc import Callable

from efcompile.devices.emulated_server import SCRIPT
from efcompile.devices.rpc_server import KEY_VARIABLE
from efcompile.devices.service import Service
from efcompile.devices.tracker import Address, Tracker

KEY = "sesame"


def host_server(tracker: Address | None = None, *options: str, key: str = KEY) -> Service:
    """A server for this machine's own code."""
    registered = ["--tracker", str(tracker), "--custom-addr", "127.0.0.1"] if tracker else []
    return Service(
        "the RPC server",
        [sys.executable, SCRIPT, "--end-with-stdin", *registered, *options],
        {"TVM_USE_RUNTIME_LIB": "1", KEY_VARIABLE: key},
    )


def address(service: Service) -> Address:
    """Where a service on loopback listens."""
    return Address("127.0.0.1", service.port)


def until(true: Callable[[], object], seconds: float = 20) -> None:
    """Wait for something; `AssertionError` when it takes too long."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "that did not happen"
        time.sleep(0.02)


def registered(tracker: Address, count: int, key: str = KEY) -> None:
    """Wait for so many servers that are free at the tracker."""
    until(lambda: Tracker(tracker).summary().free.get(key) == count)
