import json
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.avx2_host import NATIVE
from benchmarks.kernel_table import kernel_table, summary, write_json
from benchmarks.prepared import Prepared
from benchmarks.rows import Times, rows_of
from tests.benchmarks.examples import MACHINE
from tests.benchmarks.test_rows import GEMM, POOL, no_bundle

PREPARED = Prepared("net", no_bundle(), (GEMM, POOL), 5)
CALLS = np.array([[200, 40], [200, 40], [200, 40]])
TIMES = Times(CALLS, CALLS // 2, np.array([250, 250, 300]))
ROWS = rows_of(PREPARED, TIMES, MACHINE)


def test_a_line_per_kernel_marks_what_falls_short() -> None:
    console = Console(width=200, record=True, quiet=False)
    console.print(kernel_table("net", ROWS, 1))
    gemm, pool = (line for line in console.export_text().splitlines() if "m=1" in line)
    assert gemm.startswith("│ gemm")
    assert "83.3%" in gemm
    assert "short" in gemm  # half of the peak
    assert "100.0%" in pool


def test_the_summary_compares_the_sum_with_the_whole() -> None:
    assert summary(ROWS, TIMES) == (
        "whole model 0 us; sum of calls 0 us (96.0%); sum of bounds 0 us (48%); 2 of 2 kernels "
        "fall short, 100.0% of the time"
    )


def test_json_has_every_figure(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    write_json(path, MACHINE, [(PREPARED, TIMES, ROWS)], NATIVE, {PREPARED.model: 0})
    document = json.loads(path.read_text())
    assert document["machine"]["fma"] == MACHINE.fma
    (model,) = document["models"]
    assert model["whole_us"] == 0.25
    assert [row["symbol"] for row in model["kernels"]] == ["gemm_0", "pool_0"]
    assert model["kernels"][0]["short"] is True
