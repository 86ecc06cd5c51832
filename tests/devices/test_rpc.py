"""Bundles on a real RPC server of this machine, and what is refused."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from efcompile.bundle.load import Bundle, load_bundle
from efcompile.bundle.write import write_bundle
from efcompile.devices.rpc import VARIABLES, Rpc
from efcompile.devices.rpc_session import ServerInfo, Session
from efcompile.devices.tracker import Address, Tracker, serve_tracker
from efcompile.errors import DeviceError, InputError
from efcompile.targets.host import detect_host
from efcompile.targets.resolve import resolve
from tests.bundle.programs import expected, sample, tiny_program
from tests.devices.rpc_servers import KEY, address, host_server, registered

pytest.importorskip("tvm")
HOST = detect_host()


@pytest.fixture(scope="module")
def tracker() -> Iterator[Address]:
    with serve_tracker() as service, host_server(address(service)):
        registered(address(service), 1)
        yield address(service)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_bundle(tiny_program(), tmp_path_factory.mktemp("rpc")))


@pytest.fixture
def device(tracker: Address) -> Rpc:
    return Rpc(tracker=str(tracker), key=KEY, warmup=1, iterations=5)


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def test_it_runs_a_bundle(device: Rpc, bundle: Bundle) -> None:
    assert device.unavailable() is None and device.refuses(bundle.manifest.target) is None
    for seed in (0, 1):
        found = device.run(bundle, [sample(seed)])
        wanted = expected(tiny_program(), sample(seed))
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)


def test_it_times_a_bundle(device: Rpc, bundle: Bundle) -> None:
    latency = device.measure(bundle)["latency"]
    assert 0 < latency.value < 1e9
    assert (latency.unit, latency.kind, latency.samples) == ("ns", "measured", 5)
    assert latency.device == f"rpc {device.where}" and latency.threads == 1


def test_a_server_without_a_tracker(bundle: Bundle) -> None:
    with host_server() as service:
        device = Rpc(server=str(address(service)), key=KEY)
        assert device.unavailable() is None
        assert len(device.run(bundle, [sample()])) == 2
        again = Rpc(server=address(service), key="mellon")
        assert "does not take this key" in (again.unavailable() or "")


def test_what_does_not_fit_is_refused(device: Rpc, bundle: Bundle) -> None:
    with pytest.raises(DeviceError, match=r"with one thread over rpc, not with 2.*threads=1"):
        device.run(bundle, [sample()], threads=2)
    with pytest.raises(InputError):
        device.run(bundle, [sample()[:, :1]])
    assert "cannot be linked here" in (device.refuses(resolve("iphone12")) or "")
    other = "arm64" if HOST.arch == "x86_64" else "x86_64-linux-gnu"
    assert "is for" in (device.refuses(resolve(other)) or "")
    foreign = bundle.manifest.model_copy(update={"target": resolve(other)})
    with pytest.raises(DeviceError, match=rf"is {HOST.arch}, and this code is for"):
        device.run(replace(bundle, manifest=foreign), [sample()])


def test_a_library_that_does_not_load_is_told(
    device: Rpc, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As from TVM's own server, which does not tell its architecture.
    monkeypatch.setattr(Session, "_server_info", lambda self: None)
    damaged = tmp_path / "libtiny.so"
    damaged.write_bytes(b"\x7fELF of another machine")
    for name in bundle.manifest.files:
        if name != damaged.name:
            (tmp_path / name).symlink_to(bundle.path / name)
    with pytest.raises(DeviceError, match=r"cannot load libtiny.so: .*architecture and system"):
        device.run(replace(bundle, path=tmp_path), [sample()])
    assert device.kind() == "measured"


def test_another_tvm_is_refused(
    device: Rpc, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = ServerInfo(HOST.arch, "linux", "5", "3.10", "0.21.0", 4, False)
    monkeypatch.setattr(Session, "_server_info", lambda self: old)
    with pytest.raises(DeviceError, match=r"runs TVM 0.21.0, .*pip install apache-tvm==0.27"):
        device.run(bundle, [sample()])


def test_a_run_that_takes_too_long_is_told(device: Rpc, bundle: Bundle) -> None:
    slow = Rpc(tracker=device.tracker, key=KEY, timeout=1, iterations=10_000_000)
    with pytest.raises(DeviceError, match=r"did not finish within 1 s .*raise the timeout"):
        slow.measure(bundle)
    assert len(device.run(bundle, [sample()])) == 2


def test_where_it_is_must_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--tracker, --key, --server" in (Rpc().unavailable() or "")
    assert "have keys" in (Rpc(tracker="127.0.0.1:1").unavailable() or "")
    with pytest.raises(DeviceError, match="not both"):
        Rpc(tracker="a", server="b")
    monkeypatch.setenv("TVM_TRACKER_HOST", "127.0.0.1")
    monkeypatch.setenv("TVM_TRACKER_PORT", "port")
    assert "TVM_TRACKER_HOST and TVM_TRACKER_PORT: '127" in (Rpc().unavailable() or "")


def test_tvms_variables_say_where(
    tracker: Address, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in zip(VARIABLES, (tracker.host, tracker.port, KEY), strict=True):
        monkeypatch.setenv(variable, str(value))
    device = Rpc()
    assert device.unavailable() is None and KEY not in repr(device)
    assert len(device.run(bundle, [sample()])) == 2


def test_what_is_not_there_is_told_at_once(tracker: Address, bundle: Bundle) -> None:
    with pytest.raises(DeviceError, match=r"nothing listens at 127.0.0.1:1"):
        Rpc(tracker="127.0.0.1:1", key=KEY).run(bundle, [sample()])
    with pytest.raises(DeviceError, match="no server with this key, and 1 with other keys"):
        Rpc(tracker=tracker, key="mellon").run(bundle, [sample()])


def test_a_server_that_comes_back_is_waited_for(bundle: Bundle) -> None:
    with serve_tracker() as service:
        where = address(service)
        device = Rpc(tracker=where, key=KEY, patience=2)
        with host_server(where):
            registered(where, 1)
            (only,) = Rpc.fleet(where, KEY)
            assert only.where == str(Tracker(where).find(KEY)[0])
            device.run(bundle, [sample()])
        with pytest.raises(DeviceError, match="has no server with this key"):
            device.run(bundle, [sample()])
        device.patience = 400
        with host_server(where):
            assert len(device.run(bundle, [sample()])) == 2
