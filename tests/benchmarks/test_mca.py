import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from benchmarks import mca
from benchmarks.pipes import CORES, tool
from tests.benchmarks.test_prepared import SMALL


@pytest.fixture(autouse=True)
def llvm() -> None:
    try:
        tool("llvm-mca")
    except SystemExit as missing:
        pytest.skip(str(missing))


def test_every_kernel_with_arithmetic_in_a_loop_is_analysed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "figures.json"
    mca.main(SMALL, "cortex-a76", "", figures)
    assert "cycles per operation" in capsys.readouterr().out
    kernels = json.loads(figures.read_text())["kernels"]
    assert [row["kernel"] for row in kernels] == ["conv_direct", "gemm", "pool_linear"]
    for row in kernels:
        assert 0 < row["floats"] < row["instructions"]
        assert row["fmlas"] > 0 or row["kernel"] == "pool_linear"
        assert [core["core"] for core in row["cores"]] == [core.name for core in CORES]
        # No core multiplies and adds more than four vectors in a cycle.
        assert all(core["cycles_per_operation"] > 0.24 for core in row["cores"])


def test_a_target_that_is_not_arm64_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="host is x86_64: choose an arm64 target"):
        mca.main(SMALL, "host", "", None)


def test_the_command_starts_in_any_folder(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(mca.__file__)), "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "--only" in done.stdout
