"""A connection that can be cut."""

import socket
import time
from collections.abc import Iterator

import pytest

from efcompile.devices.relay import Relay


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection: the relay's, and the far machine's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    with near, far:
        yield near, far


def _client(relay: Relay) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", relay.port))
    client.settimeout(5)
    return client


def test_it_carries_both_ways(ends: tuple[socket.socket, socket.socket]) -> None:
    relay = Relay(ends[0], 30)
    data = bytes(range(256)) * 4096
    with _client(relay) as client:
        client.sendall(data)
        assert _read(ends[1], len(data)) == data
        ends[1].sendall(data)
        assert _read(client, len(data)) == data
        assert not relay.ended.is_set()
    assert relay.ended.wait(5) and ends[1].recv(1) == b""
    assert not relay.expired


@pytest.mark.parametrize("far_ends", [True, False])
def test_it_ends_with_the_far_side_or_when_cut(
    ends: tuple[socket.socket, socket.socket], far_ends: bool
) -> None:
    relay = Relay(ends[0], 30)
    with _client(relay) as client:
        client.sendall(b"x")
        assert ends[1].recv(1) == b"x"
        if far_ends:
            ends[1].close()
        else:
            relay.cut()
        assert client.recv(1) == b""
    assert relay.ended.wait(5) and not relay.expired
    relay.cut()


def test_it_ends_after_its_time(ends: tuple[socket.socket, socket.socket]) -> None:
    relay = Relay(ends[0], 0.3)
    start = time.monotonic()
    with _client(relay) as client:
        assert client.recv(1) == b""
    assert 0.2 < time.monotonic() - start < 3
    assert relay.expired and relay.ended.is_set()


def test_one_that_nobody_uses_ends_too(ends: tuple[socket.socket, socket.socket]) -> None:
    relay = Relay(ends[0], 0.1)
    assert relay.ended.wait(5)
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", relay.port))


def _read(end: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = end.recv(count - len(data))
        assert piece
        data += piece
    return data
