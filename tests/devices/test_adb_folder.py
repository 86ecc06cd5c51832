"""A private folder on a phone."""

import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest

from efcompile.devices.adb_connection import Connection
from efcompile.devices.adb_folder import private_folder
from efcompile.errors import DeviceError
from tests.devices.phones import StandIn, phone

__all__ = ["phone"]


@pytest.fixture
def connection(phone: StandIn) -> Connection:
    return Connection(phone.adb, patience=0.3).chosen()


def _mode(path: Path) -> str:
    return stat.filemode(path.stat().st_mode)


def test_only_its_user_can_open_it(connection: Connection, phone: StandIn, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    (tmp_path / "data").chmod(0o644)
    with private_folder(connection, "/data/local/tmp") as folder:
        (made,) = phone.storage.iterdir()
        assert folder.path == f"/data/local/tmp/{made.name}"
        assert _mode(made) == "drwx------"
        folder.push(tmp_path / "data")
        assert _mode(made / "data") == "-rw-------"
    assert list(phone.storage.iterdir()) == []


def test_names_differ(connection: Connection) -> None:
    with (
        private_folder(connection, "/data/local/tmp") as one,
        private_folder(connection, "/data/local/tmp") as other,
    ):
        assert one.path != other.path


def test_arguments_reach_the_program_as_they_are(connection: Connection) -> None:
    odd = ["a b", "it's", "$HOME", "`x`", "*", ""]
    with private_folder(connection, "/data/local/tmp") as folder:
        said = connection.shell(folder.line("/usr/bin/printf", "<%s>", *odd))
    assert said.text == "".join(f"<{word}>" for word in odd)


def test_what_it_runs_can_be_ended(connection: Connection) -> None:
    with private_folder(connection, "/data/local/tmp") as folder:
        line = folder.line("sh", "-c", "echo started; exec sleep 60")
        spoken = connection.lines(line, timeout=40)
        assert next(spoken) == "started"
        number = connection.shell(f"cat {folder.file('pid')}").text
        assert connection.shell(f"kill -0 {number}").status == 0
        folder.kill()
        with pytest.raises(StopIteration) as end:
            next(spoken)
        assert end.value.value == 128 + 9
        assert connection.shell(f"kill -0 {number} 2>/dev/null").status != 0


def test_a_program_cut_off_does_not_run_twice(connection: Connection, phone: StandIn) -> None:
    patient = replace(connection, patience=30)
    with private_folder(patient, "/data/local/tmp") as folder:
        phone.set(CUT_AFTER="1")
        # Cut off in its first run, which goes on by itself; the second one ends.
        runs, beats = folder.file("runs"), folder.file("beats")
        beating = f"while true; do echo >> {beats}; sleep 0.05; done"
        script = f"echo >> {runs}; echo; test $(wc -l < {runs}) = 2 || {{ echo; {beating}; }}"
        assert folder.run("sh", "-c", script).status == 0
        counted = patient.shell(f"wc -l < {beats}; sleep 0.5; wc -l < {beats}").text.split()
        assert counted[0] == counted[1] != "0"


def test_it_is_removed_after_an_error_and_nobody_waits_for_a_lost_phone(
    connection: Connection, phone: StandIn
) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        private_folder(connection, "/data/local/tmp"),
    ):
        raise ZeroDivisionError
    assert list(phone.storage.iterdir()) == []
    start = time.monotonic()
    with private_folder(connection, "/data/local/tmp"):
        phone.set(OFFLINE_AFTER="0")
    assert time.monotonic() - start < 15


def test_a_place_that_is_not_allowed(connection: Connection) -> None:
    with (
        pytest.raises(DeviceError, match="making a folder in /proc"),
        private_folder(connection, "/proc"),
    ):
        raise AssertionError("there is no such folder")
