"""The server as it runs on a device: what it takes, what it says, what outlives what."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from efcompile.devices import rpc_server
from efcompile.devices.rpc_session import Session
from efcompile.devices.tracker import Address
from tests.devices.rpc_servers import KEY, address, host_server, until


def test_what_it_tells_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tvm")
    monkeypatch.setenv("EFCOMPILE_EMULATED", "1")
    said = json.loads(rpc_server.server_info())
    assert said["machine"] == os.uname().machine and said["emulated"] is True
    monkeypatch.delenv("EFCOMPILE_EMULATED")
    assert json.loads(rpc_server.server_info())["emulated"] is False


def test_a_session_that_ends_badly_does_not_end_the_server(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path.cwd()
    closed = []

    class Connection:
        def close(self) -> None:
            closed.append(self)

    def crashing(connection: Connection, *rest: object) -> None:
        os.chdir(tmp_path)
        raise RuntimeError("exited unsuccessfully with error code -11")

    rpc_server.outliving(crashing)(Connection(), "address", {}, None)
    assert Path.cwd() == home and closed
    assert "error code -11" in capsys.readouterr().err


def test_a_tracker_needs_a_key(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TVM_TRACKER_KEY", raising=False)
    with pytest.raises(SystemExit):
        rpc_server.main(["--tracker", "127.0.0.1:9190"])
    assert "set TVM_TRACKER_KEY" in capsys.readouterr().err


def test_it_needs_nothing_of_the_package() -> None:
    code = f"import sys, runpy; runpy.run_path({rpc_server.__file__!r}); "
    code += "print('efcompile' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_it_listens_on_loopback_with_a_private_folder_and_a_hidden_key() -> None:
    pytest.importorskip("tvm")
    with host_server(None, "--verbose") as service:
        assert _listening(service.port) == ["0100007F"]
        assert KEY not in Path(f"/proc/{service.pid}/cmdline").read_text()
        (folder,) = service._folder.glob("efcompile-rpc-*")
        assert folder.stat().st_mode & 0o077 == 0
        with Session(address(service), KEY, seconds=20) as session:
            session.load(_library(service._folder))
            (uploaded,) = folder.rglob("libnothing.so")
            assert all(one.stat().st_mode & 0o077 == 0 for one in (uploaded, uploaded.parent))
        until(lambda: not uploaded.exists())
        assert "finish serving" in service.said()
        assert KEY not in service.said()


def test_listening_elsewhere_warns() -> None:
    pytest.importorskip("tvm")
    with host_server(None, "--host", "127.0.0.2") as service:
        assert "whoever reaches 127.0.0.2" in service.said()
        assert "has no authentication and runs any code" in service.said()
        with Session(Address("127.0.0.2", service.port), KEY, seconds=20) as session:
            assert session.info is not None


def _listening(port: int) -> list[str]:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = [row[1].split(":") for row in rows if row[3] == "0A"]
    return [host for host, at in ends if int(at, 16) == port]


def _library(folder: Path) -> Path:
    source, library = folder / "nothing.c", folder / "libnothing.so"
    source.write_text("int nothing;\n")
    subprocess.run(["cc", "-shared", "-fPIC", source, "-o", library], check=True)
    return library
