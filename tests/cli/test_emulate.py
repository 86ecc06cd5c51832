"""`efcompile devices emulate`: says how to use it, ends everything."""

import contextlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from efcompile.devices import emulated_server, tracker
from efcompile.devices.tracker import Address
from efcompile.errors import DeviceError
from tests.cli.command import efcompile

EVENTS: list[str] = []


class _Service:
    """Runs until told what happens."""

    port = 9190

    def __init__(self, end: BaseException | None = None) -> None:
        self._end = end

    def __enter__(self) -> "_Service":
        EVENTS.append("tracker started")
        return self

    def __exit__(self, *error: object) -> None:
        EVENTS.append("tracker ended")

    def wait(self) -> None:
        assert self._end is not None
        raise self._end


def _emulated(monkeypatch: pytest.MonkeyPatch, end: BaseException) -> None:
    """Nothing is started; then `end` happens."""

    @contextlib.contextmanager
    def server(address: Address, *, key: str, cpu: str) -> Iterator[Any]:
        EVENTS.append(f"server started with {address}, {key}, {cpu}")
        here = Address("127.0.0.1", 9091)
        try:
            yield SimpleNamespace(tracker=address, server=here, service=_Service(end))
        finally:
            EVENTS.append("server ended")

    EVENTS.clear()
    monkeypatch.setattr(emulated_server, "emulated_server", server)
    monkeypatch.setattr(tracker, "serve_tracker", lambda port: _Service())


def test_it_says_the_commands_and_ends_all_on_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    _emulated(monkeypatch, KeyboardInterrupt())
    said = efcompile("devices", "emulate")
    assert (said.code, said.err.splitlines()[-1]) == (0, "ending")
    assert "efcompile devices doctor --tracker 127.0.0.1:9190 --key arm64" in said.out
    assert "no authentication" in said.out
    assert EVENTS == [
        "tracker started",
        "server started with 127.0.0.1:9190, arm64, cortex-a76",
        "server ended",
        "tracker ended",
    ]


def test_a_key_of_ones_own_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    _emulated(monkeypatch, KeyboardInterrupt())
    monkeypatch.setenv("TVM_TRACKER_KEY", "secret-key")
    said = efcompile("devices", "emulate", "--tracker", "127.0.0.1:9200")
    assert EVENTS[0] == "server started with 127.0.0.1:9200, secret-key, cortex-a76"
    assert "secret-key" not in said.out + said.err
    assert "--key YOUR_KEY" in said.out


def test_a_server_that_ends_by_itself_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    _emulated(monkeypatch, DeviceError("the emulated arm64 RPC server ended: out of memory"))
    said = efcompile("devices", "emulate")
    assert said.code == 1 and "out of memory" in said.err
    assert EVENTS[-2:] == ["server ended", "tracker ended"]


def test_a_tracker_elsewhere_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    _emulated(monkeypatch, KeyboardInterrupt())
    said = efcompile("devices", "emulate", "--tracker", "192.0.2.1:9190")
    assert "warning: the tracker at 192.0.2.1:9190" in said.err and "no authentication" in said.err
    assert "warning" not in efcompile("devices", "emulate", "--tracker", "127.0.0.1:9190").err


def test_a_running_tracker_has_its_port() -> None:
    assert efcompile("devices", "emulate", "--tracker", "h:1", "--port", 9190).code == 2


@pytest.mark.skipif(
    not (shutil.which("qemu-aarch64") and shutil.which("dpkg-deb")),
    reason="apt-get install qemu-user, on Debian or a descendant",
)
def test_the_real_one() -> None:
    command = [sys.executable, "-m", "efcompile", "devices", "emulate"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline().startswith("ready: ")
            running.send_signal(signal.SIGINT)
            assert running.wait(30) == 0
        finally:
            running.kill()
