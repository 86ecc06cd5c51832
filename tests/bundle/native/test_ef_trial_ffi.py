"""The library of trials in TVM's own loader."""

from typing import Any

import numpy as np
import pytest

from efcompile.bundle.trials import (
    ENTRY,
    STATUSES,
    TrialLibrary,
    TrialSettings,
    entry_settings,
    link_trial_library,
)
from tests.bundle.programs import HOST
from tests.bundle.trials import c_trial, gemm_trial

tvm = pytest.importorskip("tvm")

CAPACITY = 65
QUICK = TrialSettings(seconds=0.001)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> TrialLibrary:
    folder = tmp_path_factory.mktemp("objects")
    trials = [gemm_trial(HOST, folder, rows=rows) for rows in (1, 3)]
    trials.append(c_trial(folder, "overrun", "p0[1] = 0;"))
    return link_trial_library(trials, HOST, tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def entry(library: TrialLibrary) -> Any:
    return tvm.runtime.load_module(str(library.library))[ENTRY]


@pytest.fixture(scope="module")
def blob(library: TrialLibrary) -> Any:
    return tvm.runtime.tensor(np.fromfile(library.blob, np.uint8))


def samples() -> Any:
    return tvm.runtime.tensor(np.zeros(CAPACITY))


def settings(given: TrialSettings = QUICK) -> Any:
    return tvm.runtime.tensor(entry_settings(given))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("index", [0, 1])
def test_it_times_and_compares(entry: Any, blob: Any, index: int, threads: int) -> None:
    took = samples()
    given = settings(TrialSettings(seconds=0.001, threads=threads, rotate_bytes=1 << 16))
    count = entry(index, blob, given, took)
    assert QUICK.least <= count <= CAPACITY - 1
    error, *values = took.numpy()
    assert error < 1e-5
    assert all(50 < value < 1e7 for value in values[:count])
    assert not any(values[count:])


def test_few_places_for_samples_take_longer_ones(entry: Any, blob: Any) -> None:
    took = tvm.runtime.tensor(np.zeros(1 + QUICK.least))
    assert entry(0, blob, settings(), took) == QUICK.least
    assert all(took.numpy()[1:] > 50)


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"index": 3}, -3),
        ({"index": -1}, -3),
        ({"index": 2}, -6),
        ({"index": None}, -1),
        ({"blob": np.zeros(256, np.uint8)}, -2),
        ({"blob": np.zeros(0, np.uint8)}, -2),
        ({"blob": np.zeros(256, np.float32)}, -1),
        ({"settings": np.zeros(5, np.int64)}, -1),
        ({"settings": np.ones(4, np.int64)}, -1),
        ({"settings": np.array([0, 0, 100, 0, 1])}, -1),
        ({"samples": np.zeros(9, np.float32)}, -1),
        ({"samples": np.zeros(1)}, -1),
    ],
)
def test_bad_arguments_return_a_status(
    entry: Any, blob: Any, wrong: dict[str, Any], status: int
) -> None:
    given = {"index": 0, "blob": blob, "settings": settings(), "samples": samples()}
    arrays = {
        k: tvm.runtime.tensor(v) if isinstance(v, np.ndarray) else v for k, v in wrong.items()
    }
    assert entry(*(given | arrays).values()) == status
    assert status in STATUSES


def test_too_few_arguments_are_refused(entry: Any, blob: Any) -> None:
    assert entry(0, blob) == -1


def test_a_cut_off_blob_is_refused(entry: Any, library: TrialLibrary) -> None:
    whole = np.fromfile(library.blob, np.uint8)
    assert entry(0, tvm.runtime.tensor(whole[:-64]), settings(), samples()) == -2


def test_an_rpc_server_runs_it(library: TrialLibrary) -> None:
    from tvm import rpc

    server = rpc.Server("127.0.0.1", port=9190, port_end=9290, silent=True)
    try:
        remote = rpc.connect("127.0.0.1", server.port, session_timeout=60)
        remote.upload(str(library.library))
        module = remote.load_module("libtrials.so")
        arrays = (np.fromfile(library.blob, np.uint8), entry_settings(QUICK), np.zeros(CAPACITY))
        there = [tvm.runtime.tensor(array, remote.cpu()) for array in arrays]
        assert module[ENTRY](0, *there) >= QUICK.least
        assert there[2].numpy()[0] < 1e-5
    finally:
        server.terminate()
