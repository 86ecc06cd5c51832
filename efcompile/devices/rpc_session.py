"""One session with a TVM RPC server: a process of ours on the device, for a limited time."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from efcompile import tvm_api
from efcompile.devices.relay import Relay
from efcompile.devices.tracker import Address, Unreachable, connect
from efcompile.errors import DeviceError

_GRACE = 10.0
"""Seconds that the server has for ending a session by itself before we cut the connection."""
_EXPIRED = "RPCSessionTimeoutError"


class SessionLost(Exception):
    """The session ended under us: its process crashed, was ended, or the device went away.

    `expired` tells that its time was over.  Not for users: whoever opened the session knows
    what it was doing.
    """

    def __init__(self, why: str, *, expired: bool) -> None:
        super().__init__(why)
        self.expired = expired


@dataclass(frozen=True)
class ServerInfo:
    """What our own server says of itself (`rpc_server.server_info`)."""

    machine: str
    system: str
    release: str
    python: str
    tvm: str
    cores: int
    emulated: bool


class Session:
    """A session of `seconds` with the server at `address`, which takes `match` for a key.

    Raises `Unreachable` when nobody answers or the key is not taken, `DeviceError` for what is
    no RPC server or is busy with another session for `patience` seconds.

    What the other side holds for us is freed by `close` alone.  To free a single object TVM asks
    the device and waits, in a destructor, which keeps Python's lock: no thread of this process
    would run meanwhile, the relay's included.
    """

    def __init__(
        self, address: Address, match: str, *, seconds: float, patience: float = 30.0
    ) -> None:
        self.address = address
        self.seconds = seconds
        relay = Relay(connect(address, 10.0, "the RPC server"), seconds + patience + _GRACE)
        self._relay = relay
        self._remote: Any = None
        self._kept: list[Any] = []
        self._set_limit: Any = None
        try:
            self._remote = tvm_api.rpc_connect("127.0.0.1", relay.port, match, seconds)
        except tvm_api.RpcRefused as error:
            relay.cut()
            raise _refusal(address, str(error), relay) from error
        self.started = time.monotonic()
        try:
            self.info = self._server_info()
        except BaseException:
            self.close()
            raise

    def load(self, library: Path) -> Any:
        """Upload a shared library into the session's private folder and load it.

        Raises `DeviceError` when the device cannot load it, `SessionLost`.
        """
        with self._watched():
            self._remote.upload(str(library), library.name)
        try:
            with self._watched():
                return self._keep(self._remote.load_module(library.name))
        except DeviceError as error:
            raise DeviceError(
                f"{self.address} cannot load {library.name}: {error}. Is it code for that "
                "device's architecture and system?"
            ) from error

    def function(self, module: Any, name: str) -> Any:
        """A function of a loaded module; `DeviceError` when its TVM does not find it."""
        with self._watched():
            try:
                return self._keep(module[name])
            except AttributeError as error:
                raise DeviceError(
                    f"the TVM runtime at {self.address} does not find the function {name}: it is "
                    f"another version than {tvm_api.PINS['apache-tvm']}, install that one there"
                ) from error

    def tensor(self, array: NDArray[Any]) -> Any:
        """A copy of `array` on the device, aligned as TVM aligns (64 bytes)."""
        with self._watched():
            return self._keep(tvm_api.tvm.runtime.tensor(array, self._remote.cpu()))

    def zeros(self, shape: tuple[int, ...], dtype: str) -> Any:
        """An array of zeros on the device."""
        return self.tensor(np.zeros(shape, dtype))

    def fetch(self, tensor: Any) -> NDArray[Any]:
        """A copy of a device's tensor here."""
        with self._watched():
            array: NDArray[Any] = tensor.numpy()
            return array

    def call(self, function: Any, *arguments: Any) -> Any:
        """Call a remote function.  Raises `SessionLost`; `DeviceError` when it raised there."""
        with self._watched():
            return function(*arguments)

    def limit(self, seconds: float) -> None:
        """Have the session end after so many seconds, counted from now (0: when it would anyway).
        TVM's own server cannot do that; there, nothing but the session's own time ends it."""
        if self.info is not None:
            if self._set_limit is None:
                name = "efcompile.set_limit"
                with self._watched():
                    self._set_limit = self._keep(self._remote.get_function(name))
            self.call(self._set_limit, float(seconds))

    def time(self, module: Any, name: str, repeat: int, *arguments: Any) -> list[float]:
        """Nanoseconds of `repeat` calls, timed there one by one (after one untimed)."""
        with self._watched():
            device = self._remote.cpu()
            timer = self._keep(module.time_evaluator(name, device, number=1, repeat=repeat))
            return [seconds * 1e9 for seconds in timer(*arguments).results]

    def close(self) -> None:
        """End it; what it uploaded is removed there."""
        self._relay.cut()  # so that the destructors find nobody to wait for
        self._kept.clear()
        self._set_limit = None
        self._remote = None

    def __del__(self) -> None:
        if hasattr(self, "_relay"):  # not if nobody answered
            self.close()

    def _keep(self, held: Any) -> Any:
        self._kept.append(held)
        return held

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _server_info(self) -> ServerInfo | None:
        """None from TVM's own server, which cannot say."""
        try:
            with self._watched():
                said = self._keep(self._remote.get_function("efcompile.server_info"))()
        except DeviceError:
            return None
        except SessionLost as error:
            raise Unreachable(f"the RPC server at {self.address} hung up: {error}") from error
        return ServerInfo(**json.loads(said))

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """What TVM raises, as ours."""
        try:
            yield
        except DeviceError:
            raise
        except Exception as error:  # TVM's RPC raises whatever the other side did
            said = str(error)
            over = time.monotonic() - self.started > self.seconds - 1
            if _EXPIRED in said or self._relay.expired:
                raise SessionLost("its time was over", expired=True) from error
            if self._relay.ended.wait(0.5):
                raise SessionLost("the connection ended", expired=over) from error
            raise DeviceError(last_line(said)) from error


def last_line(said: str) -> str:
    """What a remote error says, without the other side's stack."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


def _refusal(address: Address, said: str, relay: Relay) -> DeviceError:
    if "mismatch" in said.lower() and "protocol" in said.lower():
        return DeviceError(
            f"the server at {address} speaks another version of TVM's RPC: install "
            f"apache-tvm=={tvm_api.PINS['apache-tvm']} there ({last_line(said)})"
        )
    if "key" in said or "match" in said.lower():
        return Unreachable(
            f"the RPC server at {address} does not take this key: give the one it was started "
            "with; if that was with a tracker, go through the tracker"
        )
    if relay.expired:
        return DeviceError(
            f"the RPC server at {address} does not answer: it is busy with another session, or "
            "hangs; wait, or start it again"
        )
    return Unreachable(
        f"what listens at {address} does not answer as TVM's RPC server does: check the port, "
        f"and that a server runs there ({last_line(said)})"
    )
