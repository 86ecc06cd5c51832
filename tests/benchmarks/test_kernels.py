import json
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer

from benchmarks import kernels, shape_lists
from benchmarks.avx2_host import NATIVE
from benchmarks.prepared import Prepared, prepare
from efcompile.bundle import sample
from tests.benchmarks.examples import MACHINE
from tests.benchmarks.test_prepared import SMALL


@pytest.fixture(autouse=True)
def known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates that need no measuring."""
    monkeypatch.setattr(kernels, "measure", lambda threads, target: MACHINE)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(SMALL, tmp_path_factory.mktemp("small"))


def _main(models: list[str] | None = None, **options: object) -> None:
    usual: dict[str, object] = {
        "threads": 1, "rounds": 3, "only": "", "check": False, "json_file": None, "build": None,
        "built": None, "write_shapes": False,
    }  # fmt: skip
    kernels.main(models, **(usual | options))  # type: ignore[arg-type]


@pytest.mark.parametrize("threads", [1, 2])
def test_every_call_is_timed_in_the_network_and_hot(small: Prepared, threads: int) -> None:
    times = kernels.timings(small, threads, rounds=4)
    assert times.network.shape == times.hot.shape == (4, len(small.calls))
    assert times.whole.shape == (4,)
    assert (times.network > 0).all()
    # Calls are inside the whole, of another run: the shortest of each are not far apart.
    assert times.network.sum(axis=1).min() < 5 * times.whole.min()


def test_a_wrong_result_is_not_timed(small: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, outputs = sample.read(small.bundle)
    monkeypatch.setattr(sample, "read", lambda bundle: (inputs, [outputs[0] + np.float32(1)]))
    with pytest.raises(SystemExit, match="differs from eager PyTorch"):
        kernels.timings(small, 1, rounds=3)


def test_what_was_built_for_another_cpu_has_no_bounds_here(small: Prepared) -> None:
    other = replace(NATIVE, cpu="generic" if platform.machine() == "aarch64" else "x86-64-v3")
    if other.target.cpu == NATIVE.target.cpu:
        pytest.skip("this machine's CPU is the least of its kind")
    assert kernels.checked(small, NATIVE) == 0
    with pytest.raises(SystemExit, match="build and time with the same --isa"):
        kernels.checked(small, other)


def test_building_and_timing_can_be_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _main([SMALL], build=tmp_path / "built")
    assert "small.host.fp32.b1x20" in capsys.readouterr().out
    figures = tmp_path / "figures.json"
    _main(built=tmp_path / "built", json_file=figures, only="gemm")
    shown = capsys.readouterr().out
    assert "m=100 n=8 k=8" in shown
    assert "conv_direct" not in shown.split("whole model")[0]
    (model,) = json.loads(figures.read_text())["models"]
    rows = model["kernels"]
    assert {row["kernel"] for row in rows} == {"conv_direct", "gemm", "pool_linear"}
    assert sum(row["time_share"] for row in rows) == pytest.approx(1)
    assert model["sum_us"] == pytest.approx(sum(row["us"] * row["calls"] for row in rows))


def test_check_fails_where_kernels_fall_short(
    small: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small.bundle.path.parents[1]
    monkeypatch.setattr(kernels, "failures", lambda rows: [])
    _main(built=folder, check=True)
    monkeypatch.setattr(kernels, "failures", lambda rows: ["too slow"])
    _main(built=folder)
    with pytest.raises(typer.Exit) as end:
        _main(built=folder, check=True)
    assert end.value.exit_code == 1


def test_shapes_are_written_under_the_models_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shape_lists, "FOLDER", tmp_path)
    _main([SMALL], write_shapes=True)
    assert [entry["kernel"] for entry in shape_lists.read("small")] == [
        "conv_direct",
        "gemm",
        "pool_linear",
    ]


def test_the_command_starts_in_any_folder(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(kernels.__file__)), "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "--only" in done.stdout
