"""TVM's RPC tracker: starting one, and asking one for devices.

The tracker's protocol (TVM 0.27 and older) is JSON behind a length on a TCP connection.  It is
spoken here directly, which needs no TVM and can be given up after a time.
"""

import contextlib
import json
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from efcompile.devices.service import Service
from efcompile.errors import DeviceError

DEFAULT_PORT = 9190

_MAGIC = struct.pack("<i", 0x2F271)
_SUCCESS, _REQUEST, _SUMMARY = 0, 4, 6
_PARKED = 4.0
"""Seconds that a grant is good for: a server takes a new key when nobody comes for 8."""


class Unreachable(DeviceError):
    """Nobody answers at an address, for now."""


class NoSuchServer(DeviceError):
    """The tracker answers, and does not know such a server, for now."""


@dataclass(frozen=True)
class Address:
    """Where something listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str, default_port: int = DEFAULT_PORT) -> "Address":
        """``HOST:PORT``, ``HOST`` or ``[IPv6]:PORT``; `DeviceError` for anything else."""
        host, colon, port = text.rpartition(":")
        if not colon or text.endswith("]"):
            host, port = text, str(default_port)
        bare = host.removeprefix("[").removesuffix("]")
        if not bare or not port.isdecimal() or not 0 < int(port) < 65536:
            raise DeviceError(f"{text!r} is no address: give HOST:PORT, such as 127.0.0.1:9190")
        return cls(bare, int(port))


@dataclass(frozen=True)
class Server:
    """A server that the tracker knows, by its key; `repr` does not show the key."""

    address: Address
    key: str = field(repr=False)


@dataclass(frozen=True)
class Summary:
    """What the tracker knows: its servers, and by key how many are free and how many clients
    wait."""

    servers: tuple[Server, ...]
    free: Mapping[str, int] = field(repr=False)
    waiting: Mapping[str, int] = field(repr=False)

    def of(self, key: str) -> tuple[Address, ...]:
        """Where the servers with this key are, in order."""
        found = [server.address for server in self.servers if server.key == key]
        return tuple(sorted(found, key=lambda a: (a.host, a.port)))


@dataclass(frozen=True)
class Grant:
    """Leave to open one session with the server at `address`, soon."""

    address: Address
    match: str = field(repr=False)
    taken: float = field(default_factory=time.monotonic)


class Tracker:
    """A tracker's client.  One object serves several threads, and should: they then pass each
    other the devices that they asked for by name."""

    def __init__(self, address: Address, *, timeout: float = 5.0) -> None:
        """`timeout` is in seconds, for the tracker's own answers."""
        self.address = address
        self._timeout = timeout
        self._parked: dict[Address, Grant] = {}
        self._lock = threading.Lock()

    def summary(self) -> Summary:
        """What it knows now.  Raises `Unreachable`, and `DeviceError` if it is no tracker."""
        with self._link() as link:
            _send(link, [_SUMMARY])
            status, data = _receive(link)
            if status != _SUCCESS:
                raise DeviceError(f"the tracker at {self.address} refused to say what it knows")
            queues = data["queue_info"]
            return Summary(
                tuple(
                    Server(Address(str(one["addr"][0]), int(one["addr"][1])), _plain(one["key"]))
                    for one in data["server_info"]
                ),
                {key: int(queue["free"]) for key, queue in queues.items()},
                {key: int(queue["pending"]) for key, queue in queues.items()},
            )

    def request(self, key: str, *, only: Address | None = None, timeout: float = 60.0) -> Grant:
        """A server with this key, or `only` that one, as soon as it is free.

        Raises `NoSuchServer` when the tracker knows none, `Unreachable` when it does not answer,
        and `DeviceError` when none is free within `timeout` seconds.  No message shows a key.
        """
        self.find(key, only)
        end = time.monotonic() + timeout
        with self._link() as link:
            _send(link, [_REQUEST, key, "", 1])
            while True:
                if only is not None and (parked := self._unpark(only)):
                    return parked
                if select.select([link], [], [], 0.05)[0]:
                    grant = _grant(_receive(link))
                    if only is None or grant.address == only:
                        return grant
                    with self._lock:
                        self._parked[grant.address] = grant
                    _send(link, [_REQUEST, key, "", 1])
                elif time.monotonic() > end:
                    which = f"the server at {only}" if only else "every server with this key"
                    raise DeviceError(
                        f"{which} behind the tracker at {self.address} was busy for "
                        f"{timeout:g} s: wait for the other client, or raise the timeout"
                    )

    def find(self, key: str, only: Address | None = None) -> tuple[Address, ...]:
        """The servers with this key, or `only` that one, busy ones included; raises as
        `request` does."""
        summary = self.summary()
        servers = summary.of(key)
        if only is None and servers:
            return servers
        if only in servers:
            return (only,)
        if only is not None and servers:
            raise NoSuchServer(
                f"the server at {only} is not registered with the tracker at {self.address} any "
                "more: start it again"
            )
        # Others' keys are not for whoever guesses: only how many there are.
        count = len(summary.servers)
        has = f"{count} with other keys" if count else "none with another key either"
        raise NoSuchServer(
            f"the tracker at {self.address} has no server with this key, and {has}: check the key, "
            "or start a server with it"
        )

    def _unpark(self, address: Address) -> Grant | None:
        with self._lock:
            grant = self._parked.pop(address, None)
        fresh = grant is not None and time.monotonic() - grant.taken < _PARKED
        return grant if fresh else None

    @contextlib.contextmanager
    def _link(self) -> Iterator[socket.socket]:
        with connect(self.address, self._timeout, "the RPC tracker") as link:
            try:
                link.sendall(_MAGIC)
                if _exactly(link, 4) != _MAGIC:
                    raise DeviceError(
                        f"what listens at {self.address} is no RPC tracker: is this the server's "
                        "own port? Then give it as the server"
                    )
                yield link
            except TimeoutError as error:
                raise DeviceError(
                    f"what listens at {self.address} does not answer as an RPC tracker does: "
                    "check the port"
                ) from error
            except OSError as error:
                raise Unreachable(
                    f"the RPC tracker at {self.address} ended the connection: is it being "
                    "restarted?"
                ) from error
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise DeviceError(
                    f"what listens at {self.address} answers in another form than the tracker of "
                    "TVM 0.27: use that version's, or efcompile's own"
                ) from error


def serve_tracker(host: str = "127.0.0.1", port: int = DEFAULT_PORT) -> Service:
    """Start TVM's tracker in a process of its own, on `port` or the first free one after it.

    It ends with the ``with`` block, or with this process.  Raises `DeviceError` if it cannot.
    """
    script = Path(__file__).with_name("rpc_tracker.py")
    options = ["--host", host, "--port", str(port), "--port-end", str(min(port + 100, 65536))]
    root = Path(__file__).parents[2]
    return Service(
        "the RPC tracker",
        [sys.executable, script, *options],
        {"PYTHONPATH": str(root), "TVM_USE_RUNTIME_LIB": "1"},
    )


def connect(address: Address, timeout: float, what: str) -> socket.socket:
    """A TCP connection with this timeout in seconds; `Unreachable` when there is none."""
    try:
        return socket.create_connection((address.host, address.port), timeout)
    except socket.gaierror as error:
        raise DeviceError(
            f"{what}: there is no host {address.host!r}: check its spelling, or give its IP address"
        ) from error
    except ConnectionRefusedError as error:
        raise Unreachable(
            f"nothing listens at {address}, where {what} should be: start it, or give the right "
            "port"
        ) from error
    except OSError as error:
        raise Unreachable(
            f"{what} at {address} cannot be reached ({error.strerror or error}): check network, "
            "address and firewall"
        ) from error


def _grant(answer: Any) -> Grant:
    status, value = answer
    if status != _SUCCESS:
        raise DeviceError("the RPC tracker refused the request: is it TVM 0.27's?")
    host, port, match = value
    return Grant(Address(str(host), int(port)), str(match))


def _plain(key: str) -> str:
    return key.removeprefix("server:")


def _send(link: socket.socket, value: Any) -> None:
    text = json.dumps(value).encode()
    link.sendall(struct.pack("<i", len(text)) + text)


def _receive(link: socket.socket) -> Any:
    (size,) = struct.unpack("<i", _exactly(link, 4))
    return json.loads(_exactly(link, size))


def _exactly(link: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = link.recv(count - len(data))
        if not more:
            raise ConnectionResetError("closed")
        data += more
    return data
