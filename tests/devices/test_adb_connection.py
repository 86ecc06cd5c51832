"""Talking to a phone: which one, what it says, and how the connection breaks."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from efcompile.devices.adb_connection import Connection
from efcompile.devices.adb_faults import PhoneLostError
from efcompile.errors import DeviceError
from tests.devices.phones import StandIn, phone

__all__ = ["phone"]


@pytest.fixture
def connection(phone: StandIn) -> Connection:
    return Connection(phone.adb, patience=0.3).chosen()


def test_the_only_phone_is_chosen(phone: StandIn) -> None:
    assert Connection(phone.adb).chosen().serial == "qemu-arm64"


@pytest.mark.parametrize(
    ("listed", "serial", "said"),
    [
        ("", None, "no phone is connected. Enable USB debugging"),
        ("A1:device,B2:device", None, "2 phones are connected: A1, B2. Say which: --serial"),
        ("A1:device", "C3", "there is no phone C3; connected: A1"),
        ("A1:unauthorized", None, "accept the question about USB debugging"),
        ("A1:offline", "A1", "phone A1 is offline. Plug it in again"),
        ("A1:no permissions; see udev", None, "add yourself to the group plugdev"),
        ("A1:recovery", None, "state `recovery`: boot it into Android"),
    ],
)
def test_a_phone_that_cannot_be_used_says_what_to_do(
    phone: StandIn, listed: str, serial: str | None, said: str
) -> None:
    phone.set(DEVICES=listed)
    with pytest.raises(DeviceError, match=said):
        Connection(phone.adb, serial).chosen()


def test_one_of_several_is_chosen_by_its_serial(
    phone: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone.set(DEVICES="A1:device,B2:device")
    assert Connection(phone.adb, "B2").chosen().shell("echo there").text == "there"
    monkeypatch.setenv("ANDROID_SERIAL", "A1")
    assert Connection(phone.adb).chosen().serial == "A1"


def test_a_missing_adb_is_named_with_its_install_line() -> None:
    with pytest.raises(DeviceError, match=r"`no-such-adb` is not installed. Install it: apt-get"):
        Connection("no-such-adb").chosen()


def test_what_a_command_says_and_how_it_ended(connection: Connection) -> None:
    said = connection.shell("echo one; echo two >&2; printf three; exit 7")
    assert (said.status, said.text) == (7, "one\ntwo\nthree")
    assert connection.shell("sh -c 'kill -11 $$'").status == 128 + 11
    with pytest.raises(DeviceError, match=r"looking failed: .*missing"):
        connection.checked("ls /missing", "looking")


def test_lines_come_as_they_are_written(connection: Connection) -> None:
    start = time.monotonic()
    spoken = connection.lines("echo first; sleep 20", timeout=5)
    assert next(spoken) == "first"
    spoken.close()
    assert time.monotonic() - start < 10


def test_a_command_that_hangs(connection: Connection) -> None:
    with pytest.raises(DeviceError, match=r"said nothing for 0.5 s"):
        connection.shell("sleep 20", timeout=0.5)


def test_files_go_there_and_back(connection: Connection, phone: StandIn, tmp_path: Path) -> None:
    (tmp_path / "it's a file").write_bytes(b"\0\r\n\xff")
    connection.push(tmp_path / "it's a file", "/data/local/tmp/there")
    assert (phone.storage / "there").read_bytes() == b"\0\r\n\xff"
    connection.pull("/data/local/tmp/there", tmp_path / "back", 4)
    assert (tmp_path / "back").read_bytes() == b"\0\r\n\xff"
    with pytest.raises(DeviceError, match="came back with 4 bytes of 5"):
        connection.pull("/data/local/tmp/there", tmp_path / "back", 5)
    with pytest.raises(DeviceError, match=r"pulling back failed.*No such file"):
        connection.pull("/data/local/tmp/missing", tmp_path / "back", 4)


def test_a_command_cut_off_is_given_once_more(connection: Connection, phone: StandIn) -> None:
    phone.set(CUT_AFTER="1")
    assert replace(connection, patience=30).shell("echo one; echo two").text == "one\ntwo"


def test_a_phone_that_stays_away_is_given_up(connection: Connection, phone: StandIn) -> None:
    phone.set(OFFLINE_AFTER="0")
    with pytest.raises(PhoneLostError, match=r"did not come back within 0.3 s"):
        connection.shell("echo one")


def test_a_phone_that_keeps_going_away_is_given_up(
    connection: Connection, phone: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone.set(OFFLINE_AFTER="0")
    monkeypatch.setattr(Connection, "wait", lambda self: None)
    with pytest.raises(PhoneLostError, match="went away while running a command"):
        connection.shell("echo one")
    assert (phone.root / "commands").read_text() == "2"
