"""Trials on a real RPC server of this machine: what crashes and hangs there cost."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from efcompile.bundle.trials import Outcome, Trial, TrialSettings
from efcompile.devices.rpc import Rpc
from efcompile.devices.rpc_session import Session
from efcompile.errors import DeviceError
from efcompile.targets.host import detect_host
from efcompile.targets.resolve import resolve
from tests.bundle.trials import C_HANG, c_trial, gemm_trial
from tests.devices.rpc_servers import KEY, address, host_server

pytest.importorskip("tvm")
HOST = detect_host()
QUICK = TrialSettings(seconds=0.002, timeout=10)


@pytest.fixture(scope="module")
def device() -> Iterator[Rpc]:
    with host_server() as service:
        yield Rpc(server=address(service), key=KEY)


@pytest.fixture(scope="module")
def gemms(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    folder = tmp_path_factory.mktemp("gemms")
    return [gemm_trial(HOST, folder, rows=rows) for rows in (1, 3)]


def measure(
    device: Rpc, *trials: Trial, settings: TrialSettings = QUICK, interleaved: bool = False
) -> list[Outcome]:
    told: dict[int, Outcome] = {}
    found = device.measure_trials(
        trials, HOST, settings, interleaved=interleaved, watch=told.__setitem__
    )
    assert [told[i] for i in range(len(trials))] == found
    return found


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_times_and_numbers(
    device: Rpc, gemms: list[Trial], threads: int, interleaved: bool
) -> None:
    settings = replace(QUICK, threads=threads, rotate_bytes=1 << 18)
    found = measure(device, *gemms, settings=settings, interleaved=interleaved)
    for outcome in found:
        assert not outcome.failure and outcome.error < 1e-5
        assert len(outcome.values) >= settings.least
        assert all(50 < value < 1e8 for value in outcome.values)
        assert (outcome.unit, outcome.kind) == ("ns", "measured")
        assert outcome.device == f"rpc {device.where}"
    if interleaved:
        assert len({len(outcome.values) for outcome in found}) == 1


@pytest.mark.parametrize("interleaved", [False, True])
def test_a_crash_costs_that_trial_alone(
    device: Rpc, gemms: list[Trial], tmp_path: Path, interleaved: bool
) -> None:
    crash = c_trial(tmp_path, "crash", "*(volatile int *)8 = 1;")
    trials = (gemms[0], crash, gemms[1])
    first, crashed, last = measure(device, *trials, interleaved=interleaved)
    assert "crashed the process that ran it" in crashed.failure
    assert crashed.values == () and np.isnan(crashed.error)
    assert first.values and last.values and not first.failure + last.failure


def test_a_hang_costs_that_trial_alone(device: Rpc, gemms: list[Trial], tmp_path: Path) -> None:
    settings = replace(QUICK, timeout=2)
    hang = c_trial(tmp_path, "hang", C_HANG)
    hung, last = measure(device, hang, gemms[1], settings=settings)
    assert hung.failure == "did not end within 2 s"
    assert last.values


def test_a_servers_own_time_ends_a_hang_too(
    device: Rpc, gemms: list[Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As with TVM's own server, which has no limit to set but the session's.
    monkeypatch.setattr(Session, "limit", lambda self, seconds: None)
    monkeypatch.setattr("efcompile.devices.rpc_trials._SETUP", 3.0)
    settings = replace(QUICK, timeout=1)
    hang = c_trial(tmp_path, "hang", C_HANG)
    first, hung, last = measure(device, gemms[0], hang, gemms[1], settings=settings)
    assert hung.failure == "did not end within 1 s"
    assert first.values and last.values


def test_what_is_refused_is_said(device: Rpc, gemms: list[Trial]) -> None:
    with pytest.raises(DeviceError, match=r"cannot pin to cores 0 .*taskset"):
        device.measure_trials(gemms, HOST, replace(QUICK, cores="0"))
    arm64 = replace(HOST, name="other", triple=resolve("arm64").triple)
    assert "is for" in (device.refuses(arm64) or "")
    assert device.measure_trials([], HOST, QUICK) == []


def test_a_device_that_goes_away_is_an_error_and_no_outcome(
    gemms: list[Trial], tmp_path: Path
) -> None:
    told: list[int] = []
    with host_server() as service:
        device = Rpc(server=address(service), key=KEY, patience=1)
        crash = c_trial(tmp_path, "crash", "*(volatile int *)8 = 1;")

        def watch(index: int, outcome: Outcome) -> None:
            told.append(index)
            service.stop()

        with pytest.raises(DeviceError, match="nothing listens at"):
            device.measure_trials([gemms[0], crash, gemms[1]], HOST, QUICK, watch=watch)
    assert told == [0]
