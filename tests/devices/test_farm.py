"""Several real servers behind a real tracker, and what happens to them."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from efcompile.bundle.trials import Outcome, Trial, TrialSettings
from efcompile.devices.farm import Farm
from efcompile.devices.rpc import Rpc
from efcompile.devices.service import Service
from efcompile.devices.tracker import serve_tracker
from efcompile.errors import DeviceError
from efcompile.targets.host import detect_host
from efcompile.targets.resolve import resolve
from tests.bundle.trials import gemm_trial
from tests.devices.liar import GOOD, Liar
from tests.devices.rpc_servers import KEY, address, host_server, registered

pytest.importorskip("tvm")
HOST = detect_host()
SETTINGS = TrialSettings(seconds=0.02, timeout=10)


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    folder = tmp_path_factory.mktemp("gemms")
    return [gemm_trial(HOST, folder, rows=rows) for rows in (1, 3)] * 4


@pytest.fixture
def tracker() -> Iterator[Service]:
    with serve_tracker() as service:
        yield service


def _farm(tracker: Service, patience: float = 60) -> Farm:
    fleet = Rpc.fleet(address(tracker), KEY)
    for device in fleet:
        device.patience = patience
    return Farm({device.where: device for device in fleet})


def _right(outcomes: list[Outcome], count: int) -> bool:
    return len(outcomes) == count and all(
        outcome.values and outcome.error < 1e-5 and not outcome.failure for outcome in outcomes
    )


def test_two_servers_work_in_parallel_and_one_may_be_killed(
    tracker: Service, trials: list[Trial]
) -> None:
    with host_server(address(tracker)) as one, host_server(address(tracker)) as other:
        registered(address(tracker), 2)
        farm = _farm(tracker, patience=4)
        assert farm.unavailable() is None and farm.refuses(HOST) is None
        found = farm.measure_trials(trials, HOST, SETTINGS)
        assert _right(found, len(trials))
        assert {o.device for o in found} == {f"rpc {address(s)}" for s in (one, other)}

        told: list[int] = []

        def watch(index: int, outcome: Outcome) -> None:
            told.append(index)
            if len(told) == 2:
                other.stop()

        found = farm.measure_trials(trials, HOST, SETTINGS, watch=watch)
        assert _right(found, len(trials)) and sorted(told) == list(range(len(trials)))
        states = {state.name: state for state in farm.states()}
        assert states[str(address(one))].state == "ready"
        found = farm.measure_trials(trials, HOST, SETTINGS)
        assert {o.device for o in found} == {f"rpc {address(one)}"}

        one.stop()
        with pytest.raises(DeviceError, match=r"no device is left .*is kept|are kept"):
            farm.measure_trials(trials, HOST, SETTINGS)
        assert {state.state for state in farm.states()} == {"gone"}


def test_a_tracker_may_be_restarted(tracker: Service, trials: list[Trial]) -> None:
    with host_server(address(tracker)):
        registered(address(tracker), 1)
        farm = _farm(tracker)
        restarted: list[Service] = []

        def restart() -> None:
            restarted.append(serve_tracker(port=tracker.port))

        thread = threading.Thread(target=restart)

        def watch(index: int, outcome: Outcome) -> None:
            if not thread.ident:
                tracker.stop()
                thread.start()

        try:
            assert _right(farm.measure_trials(trials, HOST, SETTINGS, watch=watch), len(trials))
            assert _right(farm.measure_trials(trials, HOST, SETTINGS), len(trials))
        finally:
            thread.join()
            for service in restarted:
                service.stop()
        assert restarted[0].port == tracker.port


def test_without_its_tracker_it_stops_and_keeps_what_was_finished(
    tracker: Service, trials: list[Trial]
) -> None:
    told: dict[int, Outcome] = {}
    with host_server(address(tracker)):
        registered(address(tracker), 1)
        farm = _farm(tracker, patience=1)

        def watch(index: int, outcome: Outcome) -> None:
            told[index] = outcome
            tracker.stop()

        with pytest.raises(DeviceError, match=r"no device is left .*nothing listens at"):
            farm.measure_trials(trials, HOST, SETTINGS, watch=watch)
    assert 0 < len(told) < len(trials) and _right(list(told.values()), len(told))


def test_a_liar_beside_a_real_server_is_put_aside(tracker: Service, trials: list[Trial]) -> None:
    liar = Liar(lambda asked: [Outcome((0.0,), "ns", "measured", 0.0) for _ in asked])
    with host_server(address(tracker)):
        registered(address(tracker), 1)
        (real,) = Rpc.fleet(address(tracker), KEY)
        farm = Farm({"real": real, "liar": liar})
        assert _right(farm.measure_trials(trials, HOST, SETTINGS), len(trials))
        assert [state.state for state in farm.states()] == ["ready", "put aside"]
        assert "no positive numbers" in farm.states()[1].note


def test_what_it_is_made_of(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="at least one device"):
        Farm([])
    farm = Farm([Liar(lambda asked: [GOOD for _ in asked])] * 2)
    assert [state.name for state in farm.states()] == ["liar 1", "liar 2"]
    assert farm.refuses(HOST) is None and farm.unavailable() is None
    assert farm.refuses(resolve("iphone12")) == "liar 1: no apples; liar 2: no apples"
    assert farm.measure_trials([], HOST, SETTINGS) == []
