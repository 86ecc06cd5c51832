"""One session with a real server on this machine."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from efcompile.devices.rpc_session import Session, SessionLost, last_line
from efcompile.devices.tracker import Address, Unreachable
from efcompile.errors import DeviceError
from tests.devices.rpc_servers import KEY, address, host_server

pytest.importorskip("tvm")


@pytest.fixture(scope="module")
def server() -> Iterator[Address]:
    with host_server() as service:
        yield address(service)


def test_arrays_go_there_and_back(server: Address) -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    with Session(server, KEY, seconds=20) as session:
        assert session.info is not None and not session.info.emulated
        np.testing.assert_array_equal(session.fetch(session.tensor(array)), array)
        assert not session.fetch(session.zeros((5,), "uint8")).any()


def test_sessions_follow_each_other(server: Address) -> None:
    for _ in range(3):
        with Session(server, KEY, seconds=20) as session:
            assert session.fetch(session.zeros((1,), "int64")) == 0


def test_another_key_is_refused(server: Address) -> None:
    with pytest.raises(Unreachable, match="does not take this key") as caught:
        Session(server, "mellon", seconds=20)
    assert KEY not in str(caught.value) and "mellon" not in str(caught.value)


def test_it_ends_when_its_time_is_over(server: Address) -> None:
    with Session(server, KEY, seconds=1) as session:
        there = session.zeros((4,), "uint8")
        time.sleep(1.5)
        with pytest.raises(SessionLost) as caught:
            session.fetch(there)
    assert caught.value.expired


def test_a_limit_ends_it_sooner(server: Address) -> None:
    with Session(server, KEY, seconds=60) as session:
        there = session.zeros((4,), "uint8")
        session.limit(30)
        session.limit(0)
        session.fetch(there)
        session.limit(0.2)
        time.sleep(0.5)
        with pytest.raises(SessionLost) as caught:
            session.fetch(there)
    assert not caught.value.expired


def test_a_busy_server_is_told(server: Address) -> None:
    with (
        Session(server, KEY, seconds=60),
        pytest.raises(DeviceError, match="it is busy with another session"),
    ):
        Session(server, KEY, seconds=0.1, patience=-9.5)


def test_one_that_nobody_closed_holds_nobody_up(server: Address) -> None:
    session = Session(server, KEY, seconds=60)
    there = session.zeros((4,), "uint8")
    del session
    del there
    with Session(server, KEY, seconds=20) as again:
        assert again.info is not None


def test_a_server_that_goes_away_is_noticed() -> None:
    with host_server() as service, Session(address(service), KEY, seconds=60) as session:
        there = session.zeros((4,), "uint8")
        service.stop()
        with pytest.raises(SessionLost) as caught:
            session.fetch(there)
        assert not caught.value.expired
    # Not the stopped server's port: another may have taken it since.
    with pytest.raises(Unreachable, match="nothing listens at"):
        Session(Address("127.0.0.1", 1), KEY, seconds=60)


def test_what_the_other_side_raised_is_told_in_a_line(server: Address) -> None:
    with Session(server, KEY, seconds=20) as session:

        def wrong() -> None:
            raise ValueError("Traceback\n  somewhere\nRPCError: it is wrong\n")

        with pytest.raises(DeviceError, match=r"^RPCError: it is wrong$"):
            session.call(wrong)
    assert last_line(" \n") == "no reason given"
