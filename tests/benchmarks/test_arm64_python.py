"""The peers' arm64 Python, for real; `tests/devices` tests how such a one is made."""

import pytest

from benchmarks.arm64_python import arm64_python
from tests.devices.arm64 import needs_arm64


@pytest.mark.parity  # downloads on first use
@needs_arm64
def test_it_runs_python_on_arm64_and_starting_costs_the_same() -> None:
    python = arm64_python()
    said = python.run(["-c", "import platform; print(platform.machine())"], cpu="cortex-a76")
    assert said.strip() == "aarch64"
    first, again = (python.count(["-c", "import ncnn"], cpu="cortex-a76") for _ in range(2))
    assert abs(first.total - again.total) < 1e-3 * first.total
