"""A real tracker, with servers or without, and what is none."""

import logging
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from efcompile.devices.tracker import (
    Address,
    Grant,
    NoSuchServer,
    Server,
    Tracker,
    Unreachable,
    serve_tracker,
)
from efcompile.errors import DeviceError
from tests.devices.rpc_servers import KEY, address, host_server, registered


@pytest.fixture(scope="module")
def tracker() -> Iterator[Address]:
    with serve_tracker() as service:
        yield address(service)


@pytest.fixture(scope="module")
def servers(tracker: Address) -> Iterator[list[Address]]:
    with host_server(tracker) as one, host_server(tracker) as other:
        registered(tracker, 2)
        yield [address(one), address(other)]


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:9190", "127.0.0.1", 9190),
        ("phone.local", "phone.local", 9190),
        ("[::1]:80", "::1", 80),
        ("[::1]", "::1", 9190),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)
    assert Address.parse(str(Address(host, port))) == Address(host, port)


@pytest.mark.parametrize("text", ["", ":9190", "host:", "host:x", "host:0", "host:65536"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(DeviceError, match=r"is no address: give HOST:PORT"):
        Address.parse(text)


def test_its_summary_tells_the_servers(tracker: Address, servers: list[Address]) -> None:
    summary = Tracker(tracker).summary()
    assert summary.of(KEY) == tuple(sorted(servers, key=lambda one: one.port))
    assert summary.of("another") == ()
    assert summary.free[KEY] == 2 and summary.waiting[KEY] == 0


def test_keys_do_not_show() -> None:
    shown = repr(Server(Address("h", 1), KEY))
    assert "h" in shown and KEY not in shown


def use(grant: Grant) -> None:
    """A session, in which nothing happens: the server is free again soon after it."""
    key = f"client:{grant.match}".encode()
    with socket.create_connection((grant.address.host, grant.address.port), 10) as session:
        session.sendall(struct.pack("<ii", 0xFF271, len(key)) + key)
        assert struct.unpack("<i", session.recv(4)) == (0xFF271,)


def test_a_server_is_granted_once(tracker: Address, servers: list[Address]) -> None:
    client = Tracker(tracker)
    grants = [client.request(KEY, timeout=5) for _ in servers]
    assert {grant.address for grant in grants} == set(servers)
    assert KEY not in repr(grants)
    with pytest.raises(DeviceError, match=r"every server .* was busy for 0.2 s"):
        client.request(KEY, timeout=0.2)
    for grant in grants:
        use(grant)


def test_clients_that_want_one_server_each_get_it(tracker: Address, servers: list[Address]) -> None:
    registered(tracker, 2)  # again, after a session that ended as abruptly as `use` ends it
    client = Tracker(tracker)
    found: dict[Address, Address] = {}

    def ask(wanted: Address) -> None:
        grant = client.request(KEY, only=wanted, timeout=40)
        found[wanted] = grant.address
        use(grant)

    threads = [threading.Thread(target=ask, args=(one,)) for one in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {one: one for one in servers}


def test_an_unknown_key_is_told_and_no_key_shown(tracker: Address, servers: list[Address]) -> None:
    registered(tracker, 2)
    with pytest.raises(NoSuchServer, match="no server with this key, and 2 with other k") as caught:
        Tracker(tracker).request("mellon")
    assert KEY not in str(caught.value) and "mellon" not in str(caught.value)
    with pytest.raises(NoSuchServer, match=r"10.0.0.9:1 is not registered .* any more"):
        Tracker(tracker).request(KEY, only=Address("10.0.0.9", 1))
    assert Tracker(tracker).find(KEY, servers[0]) == (servers[0],)


def test_a_closed_port_is_told_at_once() -> None:
    start = time.monotonic()
    with pytest.raises(Unreachable, match=r"nothing listens at 127.0.0.1:1, .*start it"):
        Tracker(Address("127.0.0.1", 1)).summary()
    assert time.monotonic() - start < 1
    with pytest.raises(DeviceError, match=r"there is no host 'no-such-host.invalid'"):
        Tracker(Address("no-such-host.invalid", 9190)).summary()


def test_what_is_no_tracker_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = Address("127.0.0.1", silent.getsockname()[1])
        with pytest.raises(DeviceError, match="does not answer as an RPC tracker does"):
            Tracker(where, timeout=0.2).summary()

        def answer() -> None:
            for _ in range(2):  # those that gave up
                connection, _ = silent.accept()
                connection.recv(64)
            connection, _ = silent.accept()
            connection.sendall(b"HTTP/1.1 400 Bad Request")
            connection.recv(64)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DeviceError):
            Tracker(where, timeout=0.2).summary()
        with pytest.raises(DeviceError, match="is no RPC tracker"):
            Tracker(where, timeout=5).summary()
        thread.join()


def test_it_listens_on_loopback_and_leaves_no_log(
    tracker: Address, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        Tracker(tracker).summary()
    assert not caplog.records
    with pytest.raises(OSError), socket.socket() as other:  # not on every address
        other.settimeout(1)
        other.connect((_own_address(), tracker.port))


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            own = str(probe.getsockname()[0])
        except OSError:
            own = "127.0.0.1"
    # Any address of 127.0.0.0/8 but the one it listens on will do where there is no network.
    return "127.0.0.2" if own.startswith("127.") else own


@pytest.mark.parametrize("reply", [b"{not json", b"[]", b"[0, {}]", b'[0, {"queue_info": 3}]'])
def test_a_reply_of_another_form_is_told(reply: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = Address("127.0.0.1", server.getsockname()[1])

        def answer() -> None:
            connection, _ = server.accept()
            connection.sendall(connection.recv(4))
            connection.recv(64)
            connection.sendall(struct.pack("<i", len(reply)) + reply)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DeviceError, match="in another form than the tracker"):
            Tracker(where).summary()
        thread.join()
