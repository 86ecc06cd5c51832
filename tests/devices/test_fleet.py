"""All servers of a tracker as one device: real servers here."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from efcompile.bundle.trial import TrialSettings
from efcompile.devices.device import Device, TrialDevice
from efcompile.devices.fleet import Fleet
from efcompile.devices.probe_trial import make_trial
from efcompile.devices.service import Service
from efcompile.devices.tracker import Address, Tracker, serve_tracker
from efcompile.errors import DeviceError
from efcompile.targets.host import detect_host

KEY = "fleet-key"
SERVER = Path(__file__).parents[2] / "efcompile" / "devices" / "rpc_server.py"


@pytest.fixture(scope="module")
def tracker() -> Iterator[str]:
    """A tracker with two servers."""
    with ExitStack() as stack:
        address = f"127.0.0.1:{stack.enter_context(serve_tracker(port=9740)).port}"
        options = ["--tracker", address, "--custom-addr", "127.0.0.1", "--end-with-stdin"]
        for number in range(2):
            command: list[str | Path] = [sys.executable, SERVER, *options]
            stack.enter_context(Service(f"server {number}", command, {"TVM_TRACKER_KEY": KEY}))
        end = time.monotonic() + 30
        while len(Tracker(Address.parse(address)).summary().of(KEY)) < 2:
            assert time.monotonic() < end, "the servers did not register"
            time.sleep(0.1)
        yield address


def test_trials_run_on_all_servers(tracker: str, tmp_path: Path) -> None:
    fleet = Fleet.behind(tracker, KEY)
    assert len(fleet.states()) == 2 and fleet.name == "rpc"
    host = detect_host()
    assert fleet.unavailable() is None and fleet.refuses(host) is None
    trial = make_trial(host, tmp_path)
    settings = TrialSettings(seconds=0.002, least=3)
    outcomes = fleet.measure_trials([trial] * 8, host, settings)
    assert all(not outcome.failure and outcome.error < 1e-5 for outcome in outcomes)
    assert [state.state for state in fleet.states()] == ["ready", "ready"]
    assert sum(state.done for state in fleet.states()) == 8
    assert KEY not in repr(fleet.states())


def test_it_is_a_device_for_models_and_trials(tracker: str) -> None:
    fleet = Fleet.behind(tracker, KEY)
    device: Device = fleet
    trials: TrialDevice = fleet
    assert device.summary and trials.name == "rpc"


def test_no_server_left_is_told(tracker: str) -> None:
    fleet = Fleet.behind(tracker, KEY)
    for member in fleet._members:
        member.state, member.note = "gone", "it did not answer any more"
    with pytest.raises(DeviceError, match=r"no server is left .* did not answer"):
        fleet._first()


def test_a_key_that_nobody_has(tracker: str) -> None:
    with pytest.raises(DeviceError, match="no server with this key"):
        Fleet.behind(tracker, "another")


def test_no_tracker_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TVM_TRACKER_HOST", raising=False)
    with pytest.raises(DeviceError, match="--tracker"):
        Fleet.behind(None, KEY)
