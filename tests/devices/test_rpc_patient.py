"""The doctor's look at RPC servers: real ones here, with faults that they may have."""

import socket
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from efcompile.devices.doctor import Check, Fault, examine
from efcompile.devices.probe import Machine
from efcompile.devices.rpc import Rpc
from efcompile.devices.rpc_patient import RpcPatient, theirs
from efcompile.devices.rpc_session import ServerInfo
from efcompile.devices.service import Service
from efcompile.devices.tracker import serve_tracker
from efcompile.targets.host import detect_host
from efcompile.targets.resolve import resolve
from efcompile.targets.target import Target
from efcompile.tvm_api import PINS

ROOT = Path(__file__).parents[2]
KEY = "a-key-of-ours"
OURS = """
from efcompile.devices import rpc_server
rpc_server.main(["--end-with-stdin"])
"""
OLD = "import tvm\ntvm.__version__ = '0.20.0'" + OURS
STOCK = """
import json, sys
from tvm import rpc
server = rpc.Server("127.0.0.1", 9600, 9700, key="a-key-of-ours", silent=True)
print(json.dumps({"port": server.port}), flush=True)
sys.stdin.read()
server.terminate()
"""
OTHER = "aarch64-linux-gnu" if detect_host().arch == "x86_64" else "x86_64-linux-gnu"

needs_zig = pytest.mark.skipif(not find_spec("ziglang"), reason="pip install 'efcompile[cross]'")


def _serving(script: str) -> Iterator[str]:
    variables = {"PYTHONPATH": str(ROOT), "TVM_TRACKER_KEY": KEY}
    with Service("the test's server", [sys.executable, "-c", script], variables) as service:
        yield f"127.0.0.1:{service.port}"


@pytest.fixture(scope="module")
def ours() -> Iterator[str]:
    """Our server."""
    yield from _serving(OURS)


@pytest.fixture(scope="module")
def stock() -> Iterator[str]:
    """TVM's own."""
    yield from _serving(STOCK)


@pytest.fixture(scope="module")
def old() -> Iterator[str]:
    """One that says it is of another version."""
    yield from _serving(OLD)


def _examined(device: Rpc, target: Target) -> dict[str, Check]:
    checks = examine(RpcPatient(device), target)
    assert not any(KEY in check.found + check.mend for check in checks)
    return {check.name: check for check in checks}


def _only_fault(checks: dict[str, Check]) -> Check:
    (fault,) = [check for check in checks.values() if check.state == "fault"]
    return fault


def test_our_server_is_healthy_but_maybe_restless(ours: str) -> None:
    checks = _examined(Rpc(server=ours, key=KEY), detect_host())
    # Other work on this machine may disturb the clock, and nothing else.
    assert [name for name, check in checks.items() if check.state != "ok"] in ([], ["clock"])
    assert detect_host().arch in checks["reachable"].found
    assert f"there TVM {PINS['apache-tvm']};" in checks["versions"].found
    assert checks["free space"].found.endswith(" GB")


def test_tvms_own_server_says_less_and_is_well_too(stock: str) -> None:
    checks = _examined(Rpc(server=stock, key=KEY), detect_host())
    assert "says nothing of itself" in checks["reachable"].found
    assert "does not tell its version, with tvm-ffi 0.1." in checks["versions"].found
    assert checks["computes"].state == "ok"


def test_another_architecture_than_the_server_tells(ours: str) -> None:
    fault = _only_fault(_examined(Rpc(server=ours, key=KEY), resolve(OTHER)))
    assert fault.name == "architecture" and detect_host().arch in fault.found
    assert "--target" in fault.mend


@needs_zig
def test_a_library_of_another_architecture_does_not_load(stock: str) -> None:
    fault = _only_fault(_examined(Rpc(server=stock, key=KEY), resolve(OTHER)))
    assert fault.name == "architecture"
    assert f"does not load a library for {OTHER}" in fault.found
    assert "--target" in fault.mend


def test_another_version_there(old: str) -> None:
    checks = _examined(Rpc(server=old, key=KEY), detect_host())
    fault = _only_fault(checks)
    assert fault.name == "versions"
    assert fault.found == f"the server runs TVM 0.20.0, and this is made with {PINS['apache-tvm']}"
    assert f"pip install apache-tvm=={PINS['apache-tvm']}" in fault.mend
    assert checks["computes"].found == "not tried: versions first"


def test_another_calling_convention_there() -> None:
    machine = Machine("aarch64", "Linux", 4, None, (), (), "0.2.0")
    with pytest.raises(Fault, match=r"runs tvm-ffi 0\.2\.0") as fault:
        theirs(None, machine)
    assert "pip install" in fault.value.mend


def test_the_same_versions_are_no_fault() -> None:
    info = ServerInfo("aarch64", "linux", "6.1", "3.11", PINS["apache-tvm"], 4, True)
    machine = Machine("aarch64", "Linux", 4, None, (), (), "")
    assert theirs(info, machine) == f"TVM {PINS['apache-tvm']}"


def test_a_closed_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for device in (Rpc(server=f"127.0.0.1:{port}"), Rpc(tracker=f"127.0.0.1:{port}", key=KEY)):
        fault = _only_fault(_examined(device, detect_host()))
        assert fault.name == "reachable"
        assert f"nothing listens at 127.0.0.1:{port}" in fault.found


def test_another_key_than_the_servers(ours: str) -> None:
    fault = _only_fault(_examined(Rpc(server=ours, key="another"), detect_host()))
    assert fault.name == "reachable" and "does not take this key" in fault.found


def test_a_key_that_the_tracker_does_not_know() -> None:
    with serve_tracker(port=9700) as tracker:
        device = Rpc(tracker=f"127.0.0.1:{tracker.port}", key=KEY)
        fault = _only_fault(_examined(device, detect_host()))
    assert fault.name == "reachable" and "no server with this key" in fault.found
