"""A real arm64 TVM RPC server under the emulator, behind a real tracker: the whole way to a phone.

The first use downloads some 120 MB into the user's cache folder.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from efcompile.bundle.load import load_bundle
from efcompile.bundle.trials import TrialSettings
from efcompile.bundle.write import write_bundle
from efcompile.devices.emulated_server import EmulatedServer, emulated_server
from efcompile.devices.rpc import Rpc
from efcompile.devices.tracker import Tracker
from efcompile.errors import DeviceError
from efcompile.targets.resolve import resolve
from tests.bundle.programs import expected, sample, tiny_program
from tests.bundle.trials import c_trial, gemm_trial
from tests.devices.arm64 import CROSS_GCC, needs_arm64
from tests.devices.rpc_servers import KEY, registered

pytestmark = [
    needs_arm64,
    pytest.mark.skipif(
        shutil.which("apt-get") is None, reason="the arm64 Python is made of Debian's packages"
    ),
]
ARM64 = resolve("arm64")


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatedServer]:
    pytest.importorskip("tvm")
    with emulated_server(key=KEY) as running:
        registered(running.tracker, 1)
        yield running


@pytest.fixture
def device(server: EmulatedServer) -> Rpc:
    return Rpc(tracker=server.tracker, key=KEY, iterations=3)


def test_it_is_arm64_and_says_that_it_is_emulated(server: EmulatedServer, device: Rpc) -> None:
    info = device.info()
    assert info is not None
    assert (info.machine, info.system, info.emulated) == ("aarch64", "linux", True)
    assert device.refuses(ARM64) is None
    assert "is aarch64, and this code is for x86_64" in (
        device.refuses(resolve("x86_64-linux-gnu")) or ""
    )
    assert Tracker(server.tracker).find(KEY) == (server.server,)
    assert server.tracker.host == server.server.host == "127.0.0.1"


def test_its_key_is_nowhere_to_be_seen(server: EmulatedServer) -> None:
    assert KEY not in repr(server) and KEY not in server.service.said()
    assert KEY not in Path(f"/proc/{server.service.pid}/cmdline").read_text()


def test_trials_run_there(device: Rpc, tmp_path: Path) -> None:
    trials = [
        gemm_trial(ARM64, tmp_path),
        c_trial(tmp_path, "crash", "*(volatile int *)8 = 1;", compiler=CROSS_GCC),
        gemm_trial(ARM64, tmp_path, rows=3),
    ]
    found = device.measure_trials(trials, ARM64, TrialSettings(seconds=0.01))
    assert [bool(outcome.failure) for outcome in found] == [False, True, False]
    for outcome in (found[0], found[2]):
        assert outcome.error < 1e-5 and outcome.values
        assert (outcome.unit, outcome.kind) == ("ns", "emulated")


def test_a_bundle_runs_there(device: Rpc, tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="pip install 'efcompile[cross]'")
    program = tiny_program(target=ARM64)
    bundle = load_bundle(write_bundle(program, tmp_path))
    for found, wanted in zip(
        device.run(bundle, [sample()]), expected(program, sample()), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)
    assert device.measure(bundle)["latency"].kind == "emulated"


def test_without_an_emulator_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(DeviceError, match="apt-get install qemu-user"), emulated_server():
        raise AssertionError("served without an emulator")


def test_both_end_with_the_block(server: EmulatedServer) -> None:
    with emulated_server(server.tracker, key="another") as second:
        assert second.tracker == server.tracker and second.server != server.server
        registered(server.tracker, 1, key="another")
    assert not second.service.alive() and server.service.alive()
    with pytest.raises(DeviceError, match="no server with this key"):
        Tracker(server.tracker).find("another")
